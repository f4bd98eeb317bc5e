// The history's grid: one element for a whole page of tiles, so that turning a page is quick.
export default {
  template: `
    <ul class="grid" aria-label="Generations">
      <li v-for="tile in tiles" :key="tile.id" class="tile" :style="{ '--ratio': tile.ratio }">
        <a class="tile-open" :href="tile.href + within">
          <template v-if="tile.src">
            <img :src="tile.src" :alt="tile.title" loading="lazy" decoding="async">
            <span v-if="tile.badge" class="badge">{{ tile.badge }}</span>
            <span class="tile-text" aria-hidden="true">
              <span class="tile-prompt" dir="auto">{{ tile.title }}</span>
              <span class="tile-when">{{ tile.when }}</span>
            </span>
          </template>
          <span v-else :class="'tile-bare is-' + tile.status">
            <span v-if="tile.text" class="tile-said" dir="auto">{{ tile.text }}</span>
            <span class="tile-status">{{ tile.headline }}</span>
            <span class="tile-prompt" dir="auto">{{ tile.title }}</span>
          </span>
        </a>
        <input type="checkbox" class="tile-check" :aria-label="'Select: ' + tile.title"
          :checked="picked.includes(tile.id)"
          @change="$emit('pick', { id: tile.id, picked: $event.target.checked })">
        <button v-if="tile.usable" type="button" class="tile-use" title="Use as…"
          :aria-label="'Use as…: ' + tile.title" @click="$emit('use', tile.id)">
          <span class="icon icon-onward" aria-hidden="true"></span></button>
      </li>
    </ul>`,
  props: { tiles: Array, picked: Array, within: String },
};
