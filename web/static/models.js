// The model files by folder: one element for all rows, so that hundreds of them are quick.
export default {
  template: `
    <div class="model-groups">
      <section v-for="group in groups" :key="group.folder" class="model-group" :aria-label="group.label">
        <div class="side-head">
          <h2 class="side-title">{{ group.label }}</h2>
          <span class="muted small">{{ group.count }}</span>
          <code class="model-folder">models/{{ group.folder }}</code>
        </div>
        <ul class="model-rows">
          <li v-for="row in group.rows" :key="row.id" class="model-row">
            <div class="model-main">
              <h3 class="model-name" dir="auto"><span v-if="row.path" class="muted">{{ row.path }}</span
                >{{ row.name }}</h3>
              <p v-if="row.words" class="small" dir="auto">
                <span class="muted">Trigger words: </span>{{ row.words }}</p>
              <p v-if="row.loaded" class="muted small">Loads with {{ row.loaded }}</p>
              <p v-for="lack in row.lacks" class="model-lack small">{{ lack }}</p>
              <p v-if="row.workers" class="muted small" dir="auto">{{ row.workers }}</p>
            </div>
            <div v-if="row.family" class="model-kind">
              <span><span :class="row.unknown ? 'model-family is-unknown' : 'model-family'">{{ row.family }}</span>
                <span v-if="row.traits" class="muted small"> · {{ row.traits }}</span></span>
              <span class="muted small" dir="auto">{{ row.how }}</span>
            </div>
            <button v-if="row.family" :id="row.id" type="button" class="btn btn-small"
              :aria-label="(row.unknown ? 'Say what it is: ' : 'Change ') + row.full"
              @click="$emit('edit', { folder: row.folder, name: row.full })">
              {{ row.unknown ? "Say what it is" : "Change" }}</button>
          </li>
        </ul>
      </section>
    </div>`,
  props: { groups: Array },
};
