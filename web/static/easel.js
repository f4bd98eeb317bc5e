// What must happen in the browser itself: shortcuts, copying, and moving about in an image.
(() => {
  "use strict";
  const typing = (e) => e.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
  const $ = (selector) => document.querySelector(selector);

  // --- what is done before the connection stands arrives in order
  // NiceGUI holds each event back by a timer of its own, so that a press could arrive before the text
  // that was typed before it. Socket.IO keeps early events too, in order, until the server has let the
  // page in. A page that the browser made ahead introduces itself only later: there it stays NiceGUI's.
  let stands = window.did_handshake ?? false;
  Object.defineProperty(window, "did_handshake", {
    get: () => stands || window.socket?.io.opts.query?.implicit_handshake === true,
    set: (value) => { stands = value; },
  });

  // --- shortcuts: a control says in data-key which key presses it
  // Before the fields see it: a field with a list would keep every Enter to itself.
  document.addEventListener("keydown", (e) => {
    const generate = [...document.querySelectorAll("[data-generate]")].find((each) => each.getClientRects().length);
    if (!generate || e.key !== "Enter" || !(e.ctrlKey || e.metaKey)) return;
    e.preventDefault();
    e.stopPropagation();
    if (getComputedStyle(generate).pointerEvents !== "none") generate.click();
  }, true);
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || $("dialog[open]")) return;
    if (typing(e)) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    if (e.target.closest?.("video, audio, .text-shown") && /^(Arrow|Home|End|Page| )/.test(e.key)) return;  // its own
    if (e.key === "Escape" && view.reset()) return;
    const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
    const focus = document.querySelector(`[data-focus="${CSS.escape(key)}"]`);
    if (focus) { e.preventDefault(); focus.focus(); return; }
    const pressed = document.querySelector(`[data-key="${CSS.escape(key)}"]:not(:disabled)`);
    if (!pressed || !pressed.getClientRects().length) return;
    // What has just come under the pointer takes no key either (see .guarded), nor a key held down.
    if (getComputedStyle(pressed).pointerEvents === "none") return;
    if (e.repeat && key === "Delete") return;
    e.preventDefault();
    pressed.click();
  });

  // --- a file dropped beside its place would replace the page
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (e) => {
      if (!e.dataTransfer?.types.includes("Files") || e.defaultPrevented) return;
      e.preventDefault();
      e.dataTransfer.dropEffect = "none";
    });
  }

  // --- all images of a set, one download after the other
  document.addEventListener("click", (e) => {
    if (!e.target.closest?.("[data-download-all]")) return;
    document.querySelectorAll(".picture-save").forEach((link, at) => setTimeout(() => link.click(), 250 * at));
  });

  // --- copy
  document.addEventListener("click", async (e) => {
    const source = e.target.closest?.("[data-copy]");
    if (!source) return;
    const origin = source.dataset.copyOrigin;
    const text = origin ? source.dataset.copy.replace(origin, location.origin) : source.dataset.copy;
    const label = source.querySelector("span:last-child");
    const before = label.textContent;
    label.textContent = (await copy(text)) ? "Copied" : "Not copied";
    setTimeout(() => { label.textContent = before; }, 1500);
  });
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {  // no secure context: the old way
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }

  // --- the viewer
  const view = {
    scale: 1, x: 0, y: 0, pointers: new Map(), moved: 0, start: null,
    image: () => $(".viewer-image"),
    apply() {
      const image = view.image();
      if (!image) return;
      image.style.transform = view.scale === 1 ? "" : `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
      image.closest(".viewer").classList.toggle("is-zoomed", view.scale > 1);
    },
    reset() {
      const was = view.scale !== 1;
      Object.assign(view, { scale: 1, x: 0, y: 0 });
      view.apply();
      return was;
    },
    zoom(factor, clientX, clientY) {
      const image = view.image();
      if (!image) return;
      const box = image.closest(".viewer").getBoundingClientRect();
      const px = clientX - box.left, py = clientY - box.top;
      const scale = Math.min(12, Math.max(1, view.scale * factor));
      view.x = px - (px - view.x) * (scale / view.scale);
      view.y = py - (py - view.y) * (scale / view.scale);
      view.scale = scale;
      view.clamp(box);
      view.apply();
    },
    clamp(box) {
      view.x = Math.min(0, Math.max(box.width * (1 - view.scale), view.x));
      view.y = Math.min(0, Math.max(box.height * (1 - view.scale), view.y));
    },
    toggle(clientX, clientY) {
      if (view.reset()) return;
      const box = $(".viewer").getBoundingClientRect();
      view.zoom(3, clientX ?? box.left + box.width / 2, clientY ?? box.top + box.height / 2);
    },
  };
  const actions = {
    zoom: () => view.toggle(),
    wide: () => $(".picture").classList.toggle("is-wide"),
    back(tool) {
      const wide = $(".picture.is-wide");
      if (wide) return void wide.classList.remove("is-wide");
      // In a tab of its own there is nothing to go back to.
      if (history.length > 1 && document.referrer.startsWith(location.origin)) history.back();
      else location.assign(tool.dataset.viewerTo);
    },
  };
  document.addEventListener("click", (e) => {
    const tool = e.target.closest?.("[data-viewer-do]");
    if (tool) actions[tool.dataset.viewerDo](tool);
  });
  document.addEventListener("load", (e) => { if (e.target === view.image()) view.reset(); }, true);
  document.addEventListener("wheel", (e) => {
    if (!e.target.closest?.(".viewer") || !view.image()) return;
    e.preventDefault();
    view.zoom(Math.exp(-e.deltaY / 400), e.clientX, e.clientY);
  }, { passive: false });
  document.addEventListener("dragstart", (e) => { if (e.target === view.image()) e.preventDefault(); });
  document.addEventListener("pointerdown", (e) => {
    if (e.target !== view.image() || e.button > 0) return;
    view.pointers.set(e.pointerId, e);
    view.moved = 0;
    view.start = { x: e.clientX, y: e.clientY };
  });
  document.addEventListener("pointermove", (e) => {
    const before = view.pointers.get(e.pointerId);
    if (!before) return;
    const box = $(".viewer").getBoundingClientRect();
    const dx = e.clientX - before.clientX, dy = e.clientY - before.clientY;
    view.moved += Math.abs(dx) + Math.abs(dy);
    if (view.pointers.size === 2) {
      const other = [...view.pointers.values()].find((p) => p.pointerId !== e.pointerId);
      const far = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
      view.zoom(far(e) / Math.max(1, far(before)), (e.clientX + other.clientX) / 2, (e.clientY + other.clientY) / 2);
    } else if (view.scale > 1) {
      view.x += dx;
      view.y += dy;
      view.clamp(box);
      view.apply();
    }
    view.pointers.set(e.pointerId, e);
  });
  function lift(e) {
    if (!view.pointers.delete(e.pointerId) || view.pointers.size) return;
    const dx = e.clientX - view.start.x, dy = e.clientY - view.start.y;
    if (e.type === "pointerup" && view.scale === 1 && Math.abs(dx) > 60 && Math.abs(dx) > 2 * Math.abs(dy)) {
      $(dx > 0 ? ".viewer-nav.is-before" : ".viewer-nav.is-after").click();
    } else if (e.type === "pointerup" && view.moved < 8 && e.pointerType === "mouse") {
      view.toggle(e.clientX, e.clientY);
    }
  }
  document.addEventListener("pointerup", lift);
  document.addEventListener("pointercancel", lift);
  document.addEventListener("dblclick", (e) => {
    if (e.target === view.image() && e.pointerType === "touch") view.toggle(e.clientX, e.clientY);
  });

  // --- a finished image that is not kept yet may have vanished: the preview below it is shown again
  document.addEventListener("error", (e) => {
    if (e.target.dataset?.rendered !== undefined) e.target.hidden = true;
  }, true);

  // --- what is typed while the connection is cut: the server may be another one when it is back
  const kept = (field) => `easel-unsent:${location.pathname}:${field.dataset.kept}`;
  document.addEventListener("input", (e) => {
    if (!e.target.dataset?.kept) return;
    if (window.socket?.connected) sessionStorage.removeItem(kept(e.target));
    else sessionStorage.setItem(kept(e.target), e.target.value);
  });

  // --- where an answer of the server puts the focus, unless the visitor is in another field by then
  let field = null;  // the one that was pressed or typed in, if nothing else was pressed since
  for (const did of ["pointerdown", "keydown", "input"]) {
    document.addEventListener(did, (e) => {
      field = e.target.matches?.("input, textarea") ? e.target : null;
    }, true);
  }
  const isElsewhere = () => field !== null && field === document.activeElement;
  const enter = (find) => setTimeout(() => { if (!isElsewhere()) find()?.focus(); }, 30);

  // --- what the server asks for
  window.easel = {
    queued(count) {
      const title = document.title.replace(/^\([\d,]+\) /, "");
      document.title = count ? `(${count}) ${title}` : title;
    },
    restore() {
      setTimeout(() => document.querySelectorAll("[data-kept]").forEach((field) => {  // once the tab's form is there
        const text = sessionStorage.getItem(kept(field));
        if (text === null) return;
        sessionStorage.removeItem(kept(field));
        field.value = text;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }), 60);
    },
    caret(toStart) {
      setTimeout(() => {
        const field = document.activeElement;
        if (field?.setSelectionRange) {
          const at = toStart ? 0 : field.value.length;
          field.setSelectionRange(at, at);
        }
      }, 30);
    },
    toAxis(field) { enter(() => $(`[data-axis=${field}] input`)); },
    toPlan() {
      setTimeout(() => $(".plan")?.scrollIntoView({ block: "nearest", behavior: "smooth" }), 60);
    },
    toSheet() { $(".contact")?.scrollIntoView({ block: "start" }); },
    toTab() {
      const nav = $(".nav");
      const tab = nav.querySelector("[aria-current]");
      const hint = () => {  // that there is more than fits, and at which end
        nav.toggleAttribute("data-more-before", nav.scrollLeft > 1);
        nav.toggleAttribute("data-more-after", nav.scrollLeft + nav.clientWidth < nav.scrollWidth - 1);
      };
      nav.onscroll = hint;
      new ResizeObserver(() => {  // what is beside it comes later
        tab?.scrollIntoView({ block: "nearest", inline: "center" });
        hint();
      }).observe(nav);
    },
    refocus(id) { enter(() => document.getElementById(id)); },
    reveal(id) { setTimeout(() => document.getElementById(id)?.scrollIntoView({ block: "center" }), 30); },
    // The first field with a mistake, also one in a part that has just been unfolded.
    toMistake() {
      setTimeout(() => {
        const wrong = [...document.querySelectorAll('.form .q-field--error, .form [role=alert]:not(:empty)')]
          .find((each) => each.checkVisibility());
        wrong?.scrollIntoView({ block: "center" });
        wrong?.querySelector("input, textarea")?.focus({ preventScroll: true });
      }, 60);
    },
    toTop() { window.scrollTo({ top: 0 }); },
    toForm() {
      if (matchMedia("(max-width: 800px)").matches) $(".form")?.scrollIntoView({ behavior: "smooth" });
    },
    toStage() {
      if (matchMedia("(max-width: 800px)").matches) window.scrollTo({ top: 0, behavior: "smooth" });
    },
  };
})();
