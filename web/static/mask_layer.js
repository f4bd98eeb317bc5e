// An image with what its mask lets be drawn anew tinted over it. White counts, or in a mask with
// transparency what is transparent, as in the graph.
const SHOWN = 1024;

async function load(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}

function pixelsOf(image, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

function tint(pixels, invert, colour) {
  const data = pixels.data;
  let isSeeThrough = false;
  for (let i = 3; i < data.length && !isSeeThrough; i += 4) isSeeThrough = data[i] < 255;
  for (let i = 0; i < data.length; i += 4) {
    const light = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    const change = isSeeThrough ? 255 - data[i + 3] : light;
    data[i] = colour[0];
    data[i + 1] = colour[1];
    data[i + 2] = colour[2];
    data[i + 3] = 0.62 * (invert ? 255 - change : change);
  }
  return pixels;
}

const sizeOf = (image) => `${image.naturalWidth} × ${image.naturalHeight}`;

export default {
  template: `<canvas role="img" :aria-label="label"></canvas>`,
  props: { label: String, mask: String, start: String, invert: Boolean },
  emits: ["sizes"],
  data: () => ({ drawn: 0 }),
  mounted() {
    this.draw();
  },
  watch: {
    mask() { this.draw(); },
    start() { this.draw(); },
    invert() { this.draw(); },
  },
  methods: {
    async draw() {
      const turn = ++this.drawn;
      const prefix = window.path_prefix ?? "";
      try {
        const mask = await load(prefix + this.mask);
        const start = this.start ? await load(prefix + this.start) : null;
        if (turn !== this.drawn) return; // another one was chosen meanwhile
        const first = start ?? mask;
        const scale = Math.min(1, SHOWN / Math.max(first.naturalWidth, first.naturalHeight));
        const canvas = this.$el;
        canvas.width = Math.max(1, Math.round(first.naturalWidth * scale));
        canvas.height = Math.max(1, Math.round(first.naturalHeight * scale));
        const context = canvas.getContext("2d");
        if (start) context.drawImage(start, 0, 0, canvas.width, canvas.height);
        const layer = new OffscreenCanvas(canvas.width, canvas.height);
        const pixels = pixelsOf(mask, canvas.width, canvas.height);
        layer.getContext("2d").putImageData(tint(pixels, this.invert, [235, 64, 52]), 0, 0);
        context.drawImage(layer, 0, 0);
        canvas.dataset.shown = `${this.mask} ${this.start ?? ""} ${this.invert}`;
        if (start) this.$emit("sizes", sizeOf(mask), sizeOf(start));
      } catch (error) {
        // a file that is gone is told when it is used
      }
    },
  },
};
