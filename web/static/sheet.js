// A page of a contact sheet: cells that fill as images arrive. Only what changed is sent.
export default {
  template: `
    <ul class="cells" aria-label="Images of the batch" :style="{ '--ratio': ratio }">
      <li v-for="cell in cells" :key="cell.id" :class="'cell is-' + cell.status">
        <a v-if="cell.href" class="cell-open" :href="cell.href + within" :title="cell.title">
          <img v-if="cell.src" :src="cell.src" :alt="cell.title" loading="lazy" decoding="async">
          <span v-else class="sr-only">{{ cell.title }}</span>
          <span v-if="cell.status !== 'succeeded' || !cell.src" class="cell-said">
            {{ cell.said || "Image removed" }}</span>
          <span v-if="cell.badge" class="badge">{{ cell.badge }}</span>
          <span v-if="cell.number" class="cell-number" aria-hidden="true">{{ cell.number }}</span>
        </a>
        <span v-else class="cell-open" :title="cell.title">
          <span class="cell-said">{{ cell.said }}</span>
          <span v-if="cell.number" class="cell-number">{{ cell.number }}</span>
        </span>
      </li>
    </ul>`,
  props: { tiles: Array, ratio: Number, within: String },
  data() {
    return { cells: this.tiles };
  },
  watch: {
    tiles(tiles) { this.cells = tiles; },
  },
  methods: {
    put(changed) {
      const news = new Map(changed.map((cell) => [cell.id, cell]));
      this.cells = this.cells.map((cell) => news.get(cell.id) ?? cell);
    },
  },
};
