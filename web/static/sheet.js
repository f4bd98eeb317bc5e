// A page of a contact sheet: cells that fill as images arrive, in order or in labelled tables.
// Only what changed is sent.
const Cell = {
  template: `
    <a v-if="cell.href" class="cell-open" :href="cell.href + within" :title="cell.title">
      <img v-if="cell.src" :src="cell.src" :alt="cell.title" loading="lazy" decoding="async">
      <span v-else class="sr-only">{{ cell.title }}</span>
      <span v-if="cell.status !== 'succeeded' || !cell.src" class="cell-said">
        {{ cell.said || "Image removed" }}</span>
      <span v-else-if="cell.values" class="cell-values" aria-hidden="true">{{ cell.values }}</span>
      <span v-if="cell.badge" class="badge">{{ cell.badge }}</span>
      <span v-if="cell.number" class="cell-number" aria-hidden="true">{{ cell.number }}</span>
    </a>
    <span v-else class="cell-open" :title="cell.title">
      <span class="cell-said">{{ cell.said }}</span>
      <span v-if="cell.number" class="cell-number">{{ cell.number }}</span>
    </span>`,
  props: { cell: Object, within: String },
};

// What a table, a row or a column is called: pictures that an input had in it come first.
const Header = {
  template: `
    <span v-if="of.pictures.length" class="header-pictures">
      <img v-for="src in of.pictures" :src="src" :alt="of.label || 'Input image'" loading="lazy" decoding="async">
    </span>
    <span v-if="of.label">{{ of.label }}</span>`,
  props: { of: Object },
};

export default {
  components: { Cell, Header },
  template: `
    <div v-if="tables.length" class="tables" :style="{ '--ratio': ratio }">
      <section v-for="table in tables" class="table-part">
        <div class="table-head">
          <h2 v-if="table.caption || table.pictures.length" class="table-caption" :title="table.caption">
            <Header :of="{ label: table.caption, pictures: table.pictures }" /></h2>
          <a v-if="table.sheet" class="link" :href="table.sheet" download>Save sheet</a>
        </div>
        <div class="table-scroll" tabindex="0" role="region" :aria-label="table.name">
          <table :style="{ '--columns': table.columns.length }">
            <thead v-if="table.columns.some((one) => one.label || one.pictures.length)">
              <tr>
                <td v-if="table.named"></td>
                <th v-for="column in table.columns" scope="col" :title="column.label">
                  <Header :of="column" /></th>
              </tr>
            </thead>
            <tbody>
              <tr v-for="line in table.lines">
                <th v-if="table.named" scope="row" :title="line.label">
                  <Header :of="line" /></th>
                <td v-for="id in line.ids" :class="'cell is-' + (id ? known[id].status : 'none')">
                  <Cell v-if="id" :cell="known[id]" :within="within" />
                </td>
              </tr>
            </tbody>
          </table>
        </div>
      </section>
    </div>
    <ul v-else class="cells" aria-label="Images of the batch" :style="{ '--ratio': ratio }">
      <li v-for="cell in cells" :key="cell.id" :class="'cell is-' + cell.status">
        <Cell :cell="cell" :within="within" />
      </li>
    </ul>`,
  props: { tiles: Array, tables: Array, ratio: Number, within: String },
  data() {
    return { cells: this.tiles };
  },
  computed: {
    known() { return Object.fromEntries(this.cells.map((cell) => [cell.id, cell])); },
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
