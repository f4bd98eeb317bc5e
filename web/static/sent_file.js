// A zone that sends one file to Easel's uploads, and tells the page which upload it became.
export default {
  template: `
    <label class="drop" :class="{ 'is-over': over, 'is-busy': busy }"
      @dragover.prevent="over = true" @dragleave="over = false" @drop.prevent="dropped">
      <input type="file" class="sr-only" :accept="accept" :disabled="busy" :aria-label="label"
        @change="chosen">
      <span class="icon icon-upload" aria-hidden="true"></span>
      <span class="drop-label" aria-hidden="true">{{ busy ? "Sending…" : label }}</span>
    </label>`,
  props: { label: String, accept: String, kinds: Array, misfit: String },
  data: () => ({ over: false, busy: false }),
  methods: {
    dropped(event) {
      this.over = false;
      this.send(event.dataTransfer.files[0]);
    },
    async chosen(event) {
      await this.send(event.target.files[0]);
      event.target.value = "";
    },
    async send(file) {
      if (!file || this.busy) return;
      this.busy = true;
      try {
        const body = new FormData();
        body.append("file", file, file.name);
        const answer = await fetch((window.path_prefix ?? "") + "/api/v1/uploads", { method: "POST", body });
        const said = await answer.json();
        const other = answer.ok ? !this.kinds.includes(said.kind) : answer.status === 415;
        if (other) this.$emit("fail", this.misfit);
        else if (answer.ok) this.$emit("sent", said.upload_id);
        else this.$emit("fail", said.detail ?? "The upload failed. Try again.");
      } catch (error) {
        this.$emit("fail", "The upload failed. Try again.");
      } finally {
        this.busy = false;
      }
    },
  },
};
