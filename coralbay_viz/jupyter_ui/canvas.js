// The browser's half of CoralBay in a notebook: it draws what Python sends and says what the user wants, nothing else.
//
// Python to browser, pixels and points as binary buffers:
//   layer {role, order, opacity, smooth, names, bar} [palette RGBA]   how a layer's integers become colors; none: HU or RGBA
//   slices {cuts: [{role, view, dtype, shape, corner, down, right, through}], mark} [pixels ...]   no dtype: nothing there
//   points {role, style} [float32 mm]     drop {role}     note {text, bad}     heard {}
//   for a scatter plot: points {low, high} [uint16 xy, uint8 rgb]   colors [uint8 rgb]   chosen [bits]   place {at}
// Browser to Python:
//   ready {}   pick {mm, negative} or {at}   stroke {view} [float32 mm]   undo {}   lasso {} [float32 xy]
// Positions are world mm (RAS+); where a pixel lies in the patient comes with each slice.

const VIEWS = ["axial", "coronal", "sagittal"];
const ARRAYS = { int16: Int16Array, uint16: Uint16Array, uint8: Uint8Array, float32: Float32Array };
const LINE = "rgba(255, 215, 94, 0.75)";
const KEYS =
  "Arrows move the crosshair, page up and down change the slice, enter adds a click, " +
  "shift and enter add a negative click, plus and minus zoom, 0 fits the view.";
const QUIET_MS = 1500;
const NEAR_MM = 3;
const ZOOM = { step: 1.15, least: 0.5, most: 12 };
const ARROWS = '<svg viewBox="0 0 16 16"><path d="M9 2h5v5M14 2 9 7M7 14H2V9M2 14l5-5"/></svg>';

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const plus = (a, b, times = 1) => a.map((value, i) => value + times * b[i]);
const norm = (a) => Math.hypot(...a);
const unit = (a) => a.map((value) => value / norm(a));

function numbers(dtype, view) {
  const bytes = view.buffer ? view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) : view;
  return new ARRAYS[dtype](bytes);
}

function element(tag, name, parent) {
  const made = document.createElement(tag);
  made.className = name;
  parent.append(made);
  return made;
}

// A page that talks to Python: notices when no answer comes, and when none can come any more.
function conversation(model, el, bar) {
  const note = element("span", "coralbay-note", bar);
  note.setAttribute("role", "status");
  let timer = null;
  let dead = false;
  const say = (text, bad = false) => {
    note.textContent = text;
    note.classList.toggle("coralbay-bad", bad);
  };
  const expect = () => {
    if (timer === null) timer = setTimeout(() => !dead && say("Python is busy: your input is handled when the cell has ended."), QUIET_MS);
  };
  const heard = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (note.textContent.startsWith("Python is busy")) say("");
  };
  const look = () => {
    if (dead || !el.closest(".jupyter-widgets-disconnected")) return;
    dead = true;
    const wall = element("div", "coralbay-dead", el.querySelector(".coralbay"));
    wall.setAttribute("role", "alert");
    wall.textContent = "The kernel was restarted or stopped. Run the notebook again from the top.";
  };
  model.on("comm_live_update", () => setTimeout(look));
  const observer = new MutationObserver(look);
  setTimeout(() => {
    for (let node = el; node; node = node.parentElement) observer.observe(node, { attributeFilter: ["class"] });
    look();
  });
  return {
    say,
    heard,
    ask: (content, buffers = []) => {
      if (dead) return;
      expect();
      model.send(content, undefined, buffers);
    },
    set: (name, value) => {
      if (dead) return;
      if (name === "cursor" && String(model.get(name)) !== String(value)) expect();
      model.set(name, value);
      model.save_changes();
    },
    close: () => {
      observer.disconnect();
      if (timer !== null) clearTimeout(timer);
    },
  };
}

// One slice of one layer: its integers, where they lie, and a picture of them at one pixel each.
class Slice {
  constructor(head, buffer) {
    Object.assign(this, head);
    this.data = numbers(head.dtype, buffer);
    this.picture = new OffscreenCanvas(head.shape[1], head.shape[0]);
    this.across = unit(head.right);
    this.along = unit(head.down);
    this.step = [norm(head.right), norm(head.down)];
  }

  paint(layer, [level, width]) {
    const image = new ImageData(this.shape[1], this.shape[0]);
    const out = new Uint32Array(image.data.buffer);
    if (this.dtype === "int16") {
      const slope = 255 / width;
      const low = level - width / 2;
      for (let i = 0; i < out.length; i++) {
        const gray = Math.max(0, Math.min(255, (this.data[i] - low) * slope)) | 0;
        out[i] = 0xff000000 | (gray * 0x010101);
      }
    } else if (layer.palette.length === 0) {
      image.data.set(this.data);
    } else {
      for (let i = 0; i < out.length; i++) out[i] = layer.palette[this.data[i]];
    }
    this.picture.getContext("2d").putImageData(image, 0, 0);
  }

  // Whether this is the slice of a place of the patient, and not the one before a newer one has come.
  holds(mm) {
    const thick = norm(this.through);
    return Math.abs(dot(plus(mm, this.corner, -1), this.through)) / thick <= thick / 2 + 0.01;
  }

  // The integer at a place of the patient in this plane, or null.
  at(mm) {
    const away = plus(mm, this.corner, -1);
    const column = Math.round(dot(away, this.across) / this.step[0]);
    const row = Math.round(dot(away, this.along) / this.step[1]);
    const inside = row >= 0 && row < this.shape[0] && column >= 0 && column < this.shape[1];
    return inside ? this.data[row * this.shape[1] + column] : null;
  }
}

// Text that is read on bright tissue and on heat maps, too.
function drawText(pen, text, x, y, color, dense) {
  pen.save();
  pen.lineJoin = "round";
  pen.lineWidth = 3 * dense;
  pen.strokeStyle = "rgba(0, 0, 0, 0.85)";
  pen.strokeText(text, x, y);
  pen.fillStyle = color;
  pen.fillText(text, x, y);
  pen.restore();
}

// Colors of the topmost layer whose colors are values, with the values at both ends.
function colorBar(parent) {
  const box = element("span", "coralbay-colors", parent);
  const low = element("span", "", box);
  const strip = element("canvas", "", box);
  const high = element("span", "", box);
  let shown = null;
  return (layer) => {
    box.hidden = !layer;
    if (!layer || layer === shown) return;
    shown = layer;
    const { title, limits } = layer.bar;
    box.title = `Colors of the ${title}`;
    low.textContent = `${title} ${limits[0].toFixed(2)}`;
    high.textContent = limits[1].toFixed(2);
    const colors = layer.palette.subarray(1); // the first one is clear: below the lower limit
    strip.width = colors.length;
    strip.height = 1;
    const image = new ImageData(strip.width, 1);
    new Uint32Array(image.data.buffer).set(colors);
    strip.getContext("2d").putImageData(image, 0, 0);
  };
}

// One of the three canvases: millimeters to screen and back, drawing, mouse and keys.
class Pane {
  constructor(view, app) {
    this.view = view;
    this.app = app;
    this.slices = new Map();
    this.pan = [0, 0];
    this.stroke = [];
    this.mouse = null; // where the pointer is on the screen: what lies under it changes with the slice
    this.drag = null;
    this.box = element("div", "coralbay-pane", app.views);
    this.canvas = element("canvas", "coralbay-view", this.box);
    this.canvas.tabIndex = 0;
    this.canvas.dataset.view = view;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${view} slice, the patient's left on the right. ${KEYS}`);
    const listen = (name, handle) => this.canvas.addEventListener(name, handle, { passive: false });
    listen("pointerdown", (event) => this.press(event));
    listen("pointermove", (event) => this.move(event));
    listen("pointerup", (event) => this.release(event));
    listen("pointerleave", () => this.leave());
    listen("wheel", (event) => this.wheel(event));
    listen("keydown", (event) => this.key(event));
    listen("contextmenu", (event) => (event.preventDefault(), event.stopPropagation()));
    listen("dblclick", () => app.model.get("tool") === "look" && app.enlarge(view)); // other tools act on each click
    this.button = element("button", "coralbay-enlarge", this.box);
    this.button.innerHTML = ARROWS;
    this.button.addEventListener("click", () => app.enlarge(view));
  }

  // Show this view alone, hide it, or show it beside the others.
  arrange(enlarged) {
    this.box.hidden = enlarged !== "" && enlarged !== this.view;
    this.button.title = enlarged ? "Show all three views" : `Enlarge the ${this.view} view`;
    this.button.setAttribute("aria-label", this.button.title);
  }

  get scan() {
    return this.slices.get("ct");
  }

  // The place of the patient under the pointer, or null.
  get pointer() {
    return this.mouse && this.scan ? this.worldOf(this.mouse) : null;
  }

  // Screen pixels per mm, and the place of the first pixel's middle.
  frame() {
    const { shape, step } = this.scan;
    const size = [shape[1] * step[0], shape[0] * step[1]];
    const screen = [this.canvas.width, this.canvas.height];
    // One scale for all views of all scans that are shown; an enlarged view fits its own slice.
    const shared = this.app.model.get("enlarged") ? 0 : this.app.model.get("extent_mm");
    const fit = shared ? Math.min(...screen) / shared : Math.min(screen[0] / size[0], screen[1] / size[1]);
    const scale = fit * this.app.zoom;
    const origin = screen.map((extent, i) => extent / 2 + this.pan[i] - (scale * (size[i] - step[i])) / 2);
    return { scale, origin };
  }

  screenOf(mm) {
    const { scale, origin } = this.frame();
    const away = plus(mm, this.scan.corner, -1);
    return [origin[0] + scale * dot(away, this.scan.across), origin[1] + scale * dot(away, this.scan.along)];
  }

  worldOf(event) {
    const { scale, origin } = this.frame();
    const box = this.canvas.getBoundingClientRect();
    const dense = this.canvas.width / box.width;
    const x = ((event.clientX - box.left) * dense - origin[0]) / scale;
    const y = ((event.clientY - box.top) * dense - origin[1]) / scale;
    return plus(plus(this.scan.corner, this.scan.across, x), this.scan.along, y);
  }

  draw() {
    if (this.box.hidden) return;
    const dense = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * dense));
    this.canvas.height = Math.max(1, Math.round(clientHeight * dense));
    const pen = this.canvas.getContext("2d");
    if (!this.scan) return;
    this.drawLayers(pen);
    this.drawStroke(pen, dense);
    this.drawCrosshair(pen, dense);
    const hidden = this.app.model.get("hidden");
    for (const [role, points] of this.app.points) if (!hidden.includes(role)) this.drawPoints(pen, role, points, dense);
    this.drawLetters(pen, dense);
  }

  drawLayers(pen) {
    const { scale } = this.frame();
    for (const role of this.app.order()) {
      const slice = this.slices.get(role);
      if (!slice) continue;
      const layer = this.app.layers.get(role);
      const [x, y] = this.screenOf(plus(plus(slice.corner, slice.right, -0.5), slice.down, -0.5));
      pen.globalAlpha = layer.opacity;
      pen.imageSmoothingEnabled = layer.smooth;
      pen.drawImage(slice.picture, x, y, scale * slice.shape[1] * slice.step[0], scale * slice.shape[0] * slice.step[1]);
    }
    pen.globalAlpha = 1;
  }

  drawStroke(pen, dense) {
    const { scale } = this.frame();
    const tool = this.app.model.get("tool");
    if (tool !== "paint" && tool !== "erase") return;
    const radius = this.app.model.get("brush_mm") * scale;
    const color = tool === "erase" ? "#ffffff" : this.app.model.get("brush_color");
    pen.strokeStyle = pen.fillStyle = color;
    pen.lineCap = pen.lineJoin = "round";
    if (this.stroke.length) {
      pen.globalAlpha = tool === "erase" ? 0.35 : 0.8;
      pen.lineWidth = 2 * radius;
      pen.beginPath();
      for (const mm of [this.stroke[0], ...this.stroke]) pen.lineTo(...this.screenOf(mm));
      pen.stroke();
      pen.globalAlpha = 1;
    }
    const pointer = this.pointer;
    if (pointer) {
      pen.lineWidth = dense;
      pen.beginPath();
      pen.arc(...this.screenOf(pointer), radius, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  drawCrosshair(pen, dense) {
    const cursor = this.app.cursor();
    if (!cursor) return;
    const [x, y] = this.screenOf(cursor).map((value) => Math.round(value) + 0.5);
    const gap = 7 * dense;
    pen.strokeStyle = LINE;
    pen.lineWidth = dense;
    pen.beginPath();
    for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, this.canvas.width, y], [x, 0, x, y - gap], [x, y + gap, x, this.canvas.height]]) {
      pen.moveTo(x0, y0);
      pen.lineTo(x1, y1);
    }
    pen.stroke();
  }

  drawPoints(pen, role, { places, style }, dense) {
    const below = role === "found" ? 15 : -5; // a match often lies where a region has its number
    const { corner, through } = this.scan;
    pen.font = `${11 * dense}px sans-serif`;
    pen.lineWidth = 1.5 * dense;
    places.forEach((mm, i) => {
      const away = Math.abs(dot(plus(mm, corner, -1), unit(through)));
      if (away > Math.max(norm(through) / 2, NEAR_MM)) return;
      const [x, y] = this.screenOf(mm);
      pen.beginPath();
      pen.arc(x, y, 5 * dense, 0, 2 * Math.PI);
      if (style.faces) {
        pen.fillStyle = style.faces[i];
        pen.fill();
      }
      pen.strokeStyle = style.borders[i];
      pen.stroke();
      if (style.texts) drawText(pen, style.texts[i], x + 7 * dense, y + below * dense, style.borders[i], dense);
    });
  }

  drawLetters(pen, dense) {
    const { width, height } = this.canvas;
    const letter = (step) => {
      const axis = step.map(Math.abs).indexOf(Math.max(...step.map(Math.abs)));
      // Sides that nobody knows are not guessed.
      return this.app.model.get("known_axes").includes("RAS"[axis]) ? ["RL", "AP", "SI"][axis][step[axis] < 0 ? 1 : 0] : "";
    };
    const { right, down } = this.scan;
    const back = (step) => step.map((value) => -value);
    const edge = 11 * dense;
    pen.font = `600 ${12 * dense}px sans-serif`;
    pen.fillStyle = "#ffffff";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(letter(back(right)), edge, height / 2);
    pen.fillText(letter(right), width - edge, height / 2);
    pen.fillText(letter(back(down)), width / 2, edge);
    pen.fillText(letter(down), width / 2, height - edge);
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    pen.fillStyle = "#c8c8c8";
    pen.font = `${11 * dense}px sans-serif`;
    const title = this.view === "axial" || this.app.model.get("enlarged") ? this.app.model.get("title") : "";
    pen.fillText(`${this.view}  ${title}`, edge / 2, height - edge / 2);
  }

  press(event) {
    if (!this.scan) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const tool = this.app.model.get("tool");
    const turn = event.button === 1 || (event.button === 0 && (event.ctrlKey || event.metaKey));
    const what = turn ? "pan" : event.button === 2 ? "window" : tool;
    this.drag = { what, x: event.clientX, y: event.clientY, far: 0, window: this.app.window(), pan: this.pan };
    if (what === "look") this.app.goTo(this.worldOf(event));
    if (what === "paint" || what === "erase") this.stroke = [this.worldOf(event)];
    this.app.redraw();
  }

  move(event) {
    if (!this.scan) return;
    this.follow(event);
    const drag = this.drag;
    if (drag) {
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      drag.far = Math.max(drag.far, Math.hypot(dx, dy));
      if (drag.what === "window") {
        const { window: [level, width] } = drag;
        const speed = Math.max(0.5, width / 300);
        this.app.setWindow([Math.round(level + dy * speed), Math.max(1, Math.round(width + dx * speed))]);
      } else if (drag.what === "pan") {
        const dense = window.devicePixelRatio || 1;
        this.pan = [drag.pan[0] + dx * dense, drag.pan[1] + dy * dense];
      } else if (drag.what === "look" || (drag.what === "ask" && drag.far > 4)) {
        this.app.goTo(this.pointer);
      } else if (drag.what !== "ask") {
        this.stroke.push(this.pointer);
      }
    }
    this.app.redraw();
  }

  release(event) {
    const drag = this.drag;
    this.drag = null;
    if (!drag || !this.scan) return;
    if (drag.what === "ask" && drag.far <= 4) this.app.pick(this.worldOf(event), event.shiftKey || event.altKey);
    if (drag.what === "window") this.app.keepWindow();
    if (this.stroke.length && (drag.what === "paint" || drag.what === "erase")) {
      this.app.talk.ask({ kind: "stroke", view: this.view }, [new Float32Array(this.stroke.flat()).buffer]);
    }
  }

  leave() {
    this.mouse = null;
    if (this.app.pointed === this) this.app.pointed = null;
    this.app.redraw();
  }

  follow(event) {
    this.mouse = { clientX: event.clientX, clientY: event.clientY };
    this.app.pointed = this;
  }

  wheel(event) {
    if (!this.scan) return;
    event.preventDefault();
    event.stopPropagation();
    this.follow(event);
    const toward = event.deltaY > 0 ? -1 : 1;
    if (event.ctrlKey || event.metaKey) this.app.zoomBy(toward > 0 ? ZOOM.step : 1 / ZOOM.step);
    else this.app.goTo(plus(this.app.cursor(), this.scan.through, toward));
  }

  key(event) {
    if (!this.scan) return;
    const { right, down, through } = this.scan;
    const far = event.shiftKey ? 5 : 1;
    const step = (way, times) => () => this.app.goTo(plus(this.app.cursor(), way, times * far));
    const acts = {
      ArrowLeft: step(right, -1),
      ArrowRight: step(right, 1),
      ArrowUp: step(down, -1),
      ArrowDown: step(down, 1),
      PageUp: step(through, 1),
      PageDown: step(through, -1),
      Enter: () => this.app.pick(this.app.cursor(), event.shiftKey || event.altKey),
      "+": () => this.app.zoomBy(ZOOM.step),
      "-": () => this.app.zoomBy(1 / ZOOM.step),
      0: () => this.app.zoomBy(1 / this.app.zoom),
      z: () => (event.ctrlKey || event.metaKey) && this.app.talk.ask({ kind: "undo" }),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    this.app.pointed = null; // who moves by keys reads at the crosshair
    acts[event.key]();
    this.app.redraw();
  }
}

function slices({ model, el }) {
  const root = element("div", "coralbay", el);
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys stay out
  const views = element("div", "coralbay-views", root);
  const bar = element("div", "coralbay-bar", root);
  const readout = element("span", "coralbay-readout", bar);
  const showColors = colorBar(bar);
  const talk = conversation(model, el, bar);
  const app = { model, views, talk, layers: new Map(), points: new Map(), pointed: null, zoom: model.get("zoom") };
  let drawing = false;
  const drawn = new Map();
  let chosen = null; // the window while it is dragged

  app.cursor = () => (model.get("cursor").length ? model.get("cursor") : null);
  app.window = () => chosen ?? model.get("window");
  app.order = () => {
    const hidden = model.get("hidden");
    const shown = [...app.layers.keys()].filter((role) => !hidden.includes(role));
    return shown.sort((a, b) => app.layers.get(a).order - app.layers.get(b).order);
  };
  app.redraw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      for (const pane of panes) pane.draw();
      app.read();
      showColors(app.order().map((role) => app.layers.get(role)).findLast((layer) => layer.bar));
      for (const role of drawn.keys()) root.dataset[role] = drawn.get(role); // for those who wait for a picture
    });
  };
  app.goTo = (mm) => {
    talk.set("cursor", mm);
    app.redraw();
  };
  app.pick = (mm, negative) => talk.ask({ kind: "pick", mm, negative });
  app.setWindow = (window) => {
    chosen = window;
    gray.forEach(repaint);
  };
  app.keepWindow = () => {
    if (chosen) talk.set("window", chosen);
    chosen = null;
  };
  // Zoom all views about the place under the pointer, the others about the crosshair; the whole slice is centered.
  app.setZoom = (zoom) => {
    const seen = panes.filter((pane) => pane.scan && app.cursor() && !pane.box.hidden);
    const held = seen.map((pane) => [pane, pane.pointer ?? app.cursor()]).map(([pane, mm]) => [pane, mm, pane.screenOf(mm)]);
    app.zoom = zoom;
    for (const [pane, mm, before] of held) {
      const after = pane.screenOf(mm);
      pane.pan = pane.pan.map((value, i) => value + before[i] - after[i]);
    }
    if (zoom < ZOOM.step - 0.01) for (const pane of panes) pane.pan = [0, 0];
    app.redraw();
  };
  app.zoomBy = (factor) => {
    app.setZoom(Math.max(ZOOM.least, Math.min(ZOOM.most, app.zoom * factor)));
    talk.set("zoom", app.zoom);
  };
  app.enlarge = (view) => talk.set("enlarged", model.get("enlarged") ? "" : view);
  app.arrange = () => {
    const enlarged = model.get("enlarged");
    views.classList.toggle("coralbay-one", enlarged !== "");
    for (const pane of panes) {
      pane.arrange(enlarged);
      pane.pan = [0, 0];
    }
    app.redraw();
  };
  // What lies under the pointer, or at the crosshair, in the slices that are drawn.
  app.read = () => {
    const mm = app.pointed ? app.pointed.pointer : app.cursor();
    if (!mm) return;
    const pane = app.pointed ?? panes.find((some) => some.scan?.holds(mm));
    const known = model.get("known_axes");
    const place = [..."RAS"].map((axis, i) => `${known.includes(axis) ? axis : "xyz"[i]} ${mm[i].toFixed(1)}`).join("  ");
    const texts = [`${app.pointed ? "" : "crosshair  "}${place} mm`];
    const value = pane?.scan.at(mm) ?? null;
    if (value !== null) texts.push(`${value} HU`);
    for (const role of pane ? app.order() : []) {
      const name = app.layers.get(role).names[pane.slices.get(role)?.at(mm)];
      if (name) texts.push(name);
    }
    readout.textContent = texts.join(" · ");
  };

  const panes = VIEWS.map((view) => new Pane(view, app));
  const gray = ["ct", "warped"]; // roles in HU
  const repaint = (role) => {
    for (const pane of panes) pane.slices.get(role)?.paint(app.layers.get(role), app.window());
    app.redraw();
  };
  const takes = {
    layer: ({ role, order, opacity, smooth, names, bar }, [palette]) => {
      const colors = new Uint32Array(numbers("uint8", palette).buffer);
      app.layers.set(role, { order, opacity, smooth, names, bar, palette: colors });
      repaint(role);
    },
    slices: ({ cuts, mark }, buffers) => {
      let next = 0;
      for (const head of cuts) {
        const pane = panes[VIEWS.indexOf(head.view)];
        drawn.set(head.role, mark);
        if (head.role === "strokes" && !pane.drag) pane.stroke = [];
        if (!head.dtype) {
          pane.slices.delete(head.role);
          continue;
        }
        const slice = new Slice(head, buffers[next++]);
        slice.paint(app.layers.get(head.role), app.window());
        pane.slices.set(head.role, slice);
      }
      app.redraw();
    },
    points: ({ role, style }, [buffer]) => {
      const flat = numbers("float32", buffer);
      const places = Array.from({ length: flat.length / 3 }, (_, i) => [...flat.subarray(3 * i, 3 * i + 3)]);
      app.points.set(role, { places, style });
      app.redraw();
    },
    drop: ({ role }) => {
      app.layers.delete(role);
      app.points.delete(role);
      for (const pane of panes) pane.slices.delete(role);
      app.redraw();
    },
    note: ({ text, bad }) => talk.say(text, bad),
    heard: () => {},
  };
  app.arrange();
  return run(model, el, talk, takes, {
    "change:cursor": app.redraw,
    "change:enlarged": app.arrange,
    "change:extent_mm": app.redraw,
    "change:zoom": () => model.get("zoom") !== app.zoom && app.setZoom(model.get("zoom")),
    "change:hidden": app.redraw,
    "change:tool": () => ((views.dataset.tool = model.get("tool")), app.redraw()),
    "change:brush_mm": app.redraw,
    "change:window": () => gray.forEach(repaint),
  }, views, app.redraw);
}

function scatter({ model, el }) {
  const root = element("div", "coralbay coralbay-scatter", el);
  root.dataset.lmSuppressShortcuts = "true";
  const canvas = element("canvas", "coralbay-view", root);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Scatter plot of the scan's cells: draw a lasso to select, click to go there.");
  const bar = element("div", "coralbay-bar", root);
  const talk = conversation(model, el, bar);
  let points = { places: new Uint16Array(0), colors: new Uint8Array(0), low: [0, 0], high: [1, 1] };
  let chosen = null;
  let place = null;
  let lasso = null;
  let drawing = false;

  const margin = 8;
  const toScreen = ([x, y]) => {
    const size = [canvas.width, canvas.height];
    const share = [(x - points.low[0]) / (points.high[0] - points.low[0]), 1 - (y - points.low[1]) / (points.high[1] - points.low[1])];
    return share.map((value, i) => margin + value * (size[i] - 2 * margin));
  };
  const toPlane = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * canvas.width;
    const y = ((event.clientY - box.top) / box.height) * canvas.height;
    const share = [(x - margin) / (canvas.width - 2 * margin), 1 - (y - margin) / (canvas.height - 2 * margin)];
    return share.map((value, i) => points.low[i] + value * (points.high[i] - points.low[i]));
  };
  const dots = (pen) => {
    const { width, height } = canvas;
    const image = pen.createImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    out.fill(0xff181818);
    const { places, colors } = points;
    const [across, along] = [(width - 2 * margin) / 65535, (height - 2 * margin) / 65535];
    for (let i = 0, k = 0; k < places.length; i++, k += 2) {
      const x = (margin + places[k] * across) | 0;
      const y = (height - margin - places[k + 1] * along) | 0;
      const dim = chosen && !((chosen[i >> 3] >> (i & 7)) & 1);
      out[y * width + x] = dim ? 0xff404040 : 0xff000000 | (colors[3 * i + 2] << 16) | (colors[3 * i + 1] << 8) | colors[3 * i];
    }
    pen.putImageData(image, 0, 0);
  };
  const redraw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      canvas.width = Math.max(2 * margin + 1, canvas.clientWidth);
      canvas.height = Math.max(2 * margin + 1, canvas.clientHeight);
      const pen = canvas.getContext("2d");
      dots(pen);
      pen.strokeStyle = "#ffffff";
      pen.lineWidth = 1.5;
      pen.beginPath();
      for (const corner of lasso ?? []) pen.lineTo(...toScreen(corner));
      pen.stroke();
      if (place) {
        pen.strokeStyle = "#ffd75e";
        pen.lineWidth = 2;
        pen.beginPath();
        pen.arc(...toScreen(place), 6, 0, 2 * Math.PI);
        pen.stroke();
      }
      root.dataset.points = points.places.length / 2;
    });
  };
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    lasso = [toPlane(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (lasso && event.buttons) lasso.push(toPlane(event));
    redraw();
  });
  canvas.addEventListener("pointerup", () => {
    const drawn = lasso ?? [];
    lasso = null;
    const spread = [0, 1].map((i) => Math.max(...drawn.map((at) => at[i])) - Math.min(...drawn.map((at) => at[i])));
    const small = spread.every((extent, i) => extent < 0.02 * (points.high[i] - points.low[i]));
    if (drawn.length && small) talk.ask({ kind: "pick", at: drawn[0] });
    else if (drawn.length > 2) talk.ask({ kind: "lasso" }, [new Float32Array(drawn.flat()).buffer]);
    redraw();
  });
  const takes = {
    points: ({ low, high }, [places, colors]) => {
      points = { low, high, places: numbers("uint16", places), colors: numbers("uint8", colors) };
      chosen = place = null;
      redraw();
    },
    colors: (_, [colors]) => ((points.colors = numbers("uint8", colors)), redraw()),
    chosen: (_, [bits]) => ((chosen = bits ? numbers("uint8", bits) : null), redraw()),
    place: ({ at }) => ((place = at), redraw()),
    note: ({ text, bad }) => talk.say(text, bad),
    heard: () => {},
  };
  return run(model, el, talk, takes, {}, canvas, redraw);
}

// Connect a canvas to its model; returns what undoes it.
function run(model, el, talk, takes, changes, watched, redraw) {
  const receive = (message, buffers) => {
    talk.heard();
    takes[message.kind]?.(message, buffers ?? []);
  };
  model.on("msg:custom", receive);
  for (const [name, handle] of Object.entries(changes)) model.on(name, handle);
  changes["change:tool"]?.();
  const resized = new ResizeObserver(redraw);
  resized.observe(watched);
  talk.ask({ kind: "ready" });
  return () => {
    resized.disconnect();
    talk.close();
    model.off("msg:custom", receive);
    for (const [name, handle] of Object.entries(changes)) model.off(name, handle);
  };
}

export default {
  render: (context) => (context.model.get("kind") === "scatter" ? scatter(context) : slices(context)),
};
