// A zone that takes a file of a workflow: dropped, chosen, or pasted as text. All go over HTTP.
export default {
  template: `
    <div class="workflow-file">
      <label class="drop" :class="{ 'is-over': over, 'is-busy': busy }"
        @dragover.prevent="over = true" @dragleave="over = false" @drop.prevent="dropped">
        <input type="file" class="sr-only" :accept="accept" :disabled="busy" :aria-label="label"
          @change="chosen">
        <span class="icon icon-upload" aria-hidden="true"></span>
        <span class="drop-label" aria-hidden="true">{{ busy ? "Sending…" : label }}</span>
      </label>
      <details class="fold">
        <summary class="fold-head"><span class="icon icon-chevron" aria-hidden="true"></span>
          <span>Paste JSON</span></summary>
        <div class="fold-body">
          <textarea class="paste" v-model="text" rows="6" spellcheck="false"
            aria-label="JSON of a workflow"></textarea>
          <div><button type="button" class="btn" :disabled="busy || !text.trim()" @click="pasted">
            Read it</button></div>
        </div>
      </details>
    </div>`,
  props: { url: String, label: String, accept: String, most: Number },
  data: () => ({ over: false, busy: false, text: "" }),
  methods: {
    dropped(event) {
      this.over = false;
      this.send(event.dataTransfer.files[0]);
    },
    async chosen(event) {
      await this.send(event.target.files[0]);
      event.target.value = "";  // the same file may be chosen again once it was corrected
    },
    pasted() {
      this.send(new File([this.text], "pasted.json", { type: "application/json" }));
    },
    async send(file) {
      if (!file || this.busy) return;
      if (file.size > this.most) {
        this.$emit("fail", `The file may have ${Math.floor(this.most / 1e6)} MB at most.`);
        return;
      }
      this.busy = true;
      try {
        const body = new FormData();
        body.append("file", file, file.name);
        const prefix = this.url.startsWith("/") ? window.path_prefix ?? "" : "";
        const answer = await fetch(prefix + this.url, { method: "POST", body });
        if (!answer.ok) throw new Error(answer.status);
      } catch (error) {
        this.$emit("fail", "The upload failed. Try again.");
      } finally {
        this.busy = false;
      }
    },
  },
};
