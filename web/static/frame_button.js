// Draws the frame that the player of a file shows, sends it to Easel's uploads, and tells the page its id.
export default {
  template: `
    <button type="button" class="btn btn-small" :disabled="busy" @click="take">
      <span class="icon icon-frame" aria-hidden="true"></span>
      <span>{{ busy ? "Sending…" : label }}</span>
    </button>`,
  props: { label: String, src: String },
  data: () => ({ busy: false }),
  methods: {
    async take() {
      const players = [...document.querySelectorAll("video.player")];
      const video = players.find((each) => each.getAttribute("src") === this.src);
      if (!video || !video.videoWidth) {
        this.$emit("fail", "The video has not loaded yet. Try again in a moment.");
        return;
      }
      this.busy = true;
      try {
        this.$emit("sent", await this.send(await this.drawn(video)));
      } catch (error) {
        this.$emit("fail", error.message || "The frame could not be sent. Try again.");
      } finally {
        this.busy = false;
      }
    },
    async drawn(video) {
      video.pause();
      const canvas = document.createElement("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
      if (!blob) throw new Error("This browser cannot read the video's frame.");
      return blob;
    },
    async send(blob) {
      const body = new FormData();
      body.append("file", blob, "frame.png");
      const url = (window.path_prefix ?? "") + "/api/v1/uploads";
      const answer = await fetch(url, { method: "POST", body });
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.detail ?? "The frame could not be sent. Try again.");
      return said.upload_id;
    },
  },
};
