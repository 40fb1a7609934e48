// Paints the scene that Python sends, and says which blocks are open. No build step.

const STEP = 1.25;
const DRAG = 4; // pixels from where a press is no click any more

function element(tag, name, parent, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  parent?.append(made);
  return made;
}

function button(parent, text, label, act) {
  const made = element("button", "capsjax-button", parent, text);
  made.type = "button";
  made.title = label;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

function render({ model, el }) {
  const root = element("div", "capsjax-explorer", el);
  const bar = element("div", "capsjax-bar", root);
  const search = element("input", "capsjax-search", bar);
  search.type = "search";
  search.placeholder = "find a capsule";
  search.setAttribute("aria-label", "find a capsule by name");
  const body = element("div", "capsjax-body", root);
  const stage = element("div", "capsjax-stage", body);
  stage.tabIndex = 0;
  stage.setAttribute(
    "aria-label",
    "drawing; arrows move, plus and minus zoom, 0 fits, Tab goes from box to box",
  );
  const panel = element("aside", "capsjax-panel", body);
  panel.setAttribute("aria-live", "polite");
  const tip = element("div", "capsjax-tip", root);
  tip.hidden = true;

  let svg = null;
  let view = { x: 0, y: 0, width: 1, height: 1 };
  let whole = view;
  let keep = null; // the box that stays in its place when a block opens or closes
  let pressed = null;

  button(bar, "+", "zoom in", () => zoom(1 / STEP));
  button(bar, "−", "zoom out", () => zoom(STEP));
  button(bar, "fit", "show all", fit);
  button(bar, "close all", "close all blocks", () => open([]));

  const boxes = () => model.get("scene").boxes;
  const group = (index) => svg.querySelector(`[data-box="${index}"]`);

  function show() {
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  }

  function fit() {
    const ratio = stage.clientWidth / Math.max(stage.clientHeight, 1);
    view = { ...whole };
    // A long drawing is read from its beginning, not squeezed until nothing is legible;
    // across it, all is shown as far as that goes.
    const tall = whole.width < whole.height * ratio;
    const across = 2 * stage.clientWidth;
    const along = 1.2 * stage.clientWidth;
    view.width = Math.min(view.width, tall ? across : along);
    view.height = Math.min(view.height, (tall ? along : across) / ratio);
    if (view.width / view.height > ratio) {
      view.height = view.width / ratio;
      view.y = Math.min(0, (whole.height - view.height) / 2);
    } else {
      view.width = view.height * ratio;
      view.x = Math.min(0, (whole.width - view.width) / 2);
    }
    show();
  }

  function zoom(factor, at = { x: 0.5, y: 0.5 }) {
    const width = view.width * factor;
    if (width < 40 || width > 8 * Math.max(whole.width, whole.height)) return;
    view.x += (view.width - width) * at.x;
    view.y += (view.height - view.height * factor) * at.y;
    view.width = width;
    view.height *= factor;
    show();
  }

  function move(dx, dy) {
    view.x += dx;
    view.y += dy;
    show();
  }

  function reveal(index) {
    const [left, top, right, bottom] = boxes()[index].corners;
    const scale = Math.min(1, stage.clientWidth / view.width) || 1;
    if (scale < 0.6) {
      const factor = (0.9 * stage.clientWidth) / view.width;
      view.width *= factor;
      view.height *= factor;
    }
    view.x = (left + right - view.width) / 2;
    view.y = (top + bottom - view.height) / 2;
    show();
  }

  // Moves, and zooms out where it must, so that all of a box or frame is seen.
  function bring([left, top, right, bottom]) {
    const margin = 12;
    const wide = (right - left + 2 * margin) / view.width;
    const high = (bottom - top + 2 * margin) / view.height;
    const least = Math.max(wide, high);
    if (least > 1) zoom(Math.min(least, (2.5 * stage.clientWidth) / view.width));
    const lack = (low, end, from, size) =>
      low - margin < from ? low - margin - from : Math.max(0, end + margin - from - size);
    move(lack(left, right, view.x, view.width), lack(top, bottom, view.y, view.height));
  }

  function open(names) {
    model.set("opened", names);
    model.save_changes();
  }

  function toggle(index) {
    const box = boxes()[index];
    const opened = model.get("opened");
    keep = { name: box.opens, corners: box.corners };
    open(
      box.role === "frame"
        ? opened.filter((n) => n !== box.opens && !n.startsWith(`${box.opens}/`))
        : [...opened, box.opens],
    );
  }

  function facts(parent, box) {
    // Of plain parts: pages have styles of their own for lists and tables.
    const list = element("div", "capsjax-facts", parent);
    for (const [term, value] of box.facts) {
      element("div", "capsjax-term", list, term);
      element("div", "capsjax-value", list, value);
    }
  }

  function choose(index) {
    const box = boxes()[index];
    model.set("chosen", box.name);
    model.save_changes();
    for (const each of svg.querySelectorAll(".capsjax-chosen"))
      each.classList.remove("capsjax-chosen");
    group(index).classList.add("capsjax-chosen");
    panel.replaceChildren();
    element("h4", "capsjax-name", panel, box.name);
    if (box.equation) element("p", "capsjax-equation", panel, box.equation);
    facts(panel, box);
    if (box.opens) {
      const word = box.role === "frame" ? "close this block" : "open this block";
      button(panel, word, word, () => toggle(index));
    }
  }

  function act(index) {
    choose(index);
    if (boxes()[index].opens) toggle(index);
  }

  function hover(event) {
    const found = event.target.closest?.("[data-box]");
    tip.hidden = !found || pressed?.moved;
    if (tip.hidden) return;
    const box = boxes()[found.dataset.box];
    tip.replaceChildren();
    element("strong", "", tip, box.name);
    facts(tip, box);
    const place = root.getBoundingClientRect();
    const x = event.clientX - place.left + 14;
    const y = event.clientY - place.top + 14;
    tip.style.left = `${Math.max(0, Math.min(x, root.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(0, Math.min(y, root.clientHeight - tip.offsetHeight - 4))}px`;
  }

  function paint() {
    const text = model.get("scene").svg;
    const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
    const first = svg === null;
    svg = document.importNode(parsed.documentElement, true);
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    whole = { x: 0, y: 0, width, height };
    svg.removeAttribute("width");
    svg.removeAttribute("height");
    svg.querySelector("title")?.remove(); // the page would show it as a tooltip
    stage.replaceChildren(svg);
    tip.hidden = true;
    boxes().forEach((box, index) => {
      const each = group(index);
      each.setAttribute("tabindex", "0");
      each.setAttribute("role", "button");
      const words = box.opens ? (box.role === "frame" ? "close " : "open ") : "";
      each.setAttribute("aria-label", words + box.name);
    });
    if (first) fit();
    else if (keep) {
      const index = boxes().findIndex((box) => box.opens === keep.name);
      if (index >= 0) {
        const now = boxes()[index].corners;
        move(
          (now[0] + now[2] - keep.corners[0] - keep.corners[2]) / 2,
          now[1] - keep.corners[1],
        );
        bring(now);
        group(index).focus({ preventScroll: true });
        choose(index);
      }
      keep = null;
    } else fit();
  }

  stage.addEventListener("pointerdown", (event) => {
    pressed = { x: event.clientX, y: event.clientY, moved: false };
    pressed.box = event.target.closest?.("[data-box]");
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!pressed) return hover(event);
    const dx = event.clientX - pressed.x;
    const dy = event.clientY - pressed.y;
    if (!pressed.moved && Math.hypot(dx, dy) < DRAG) return;
    pressed.moved = true;
    tip.hidden = true;
    const scale = view.width / Math.max(stage.clientWidth, 1);
    move(-dx * scale, -dy * scale);
    pressed.x = event.clientX;
    pressed.y = event.clientY;
  });
  stage.addEventListener("pointerup", () => {
    const was = pressed;
    pressed = null;
    if (was?.box && !was.moved) act(Number(was.box.dataset.box));
  });
  stage.addEventListener("pointercancel", () => (pressed = null));
  stage.addEventListener("pointerleave", () => (tip.hidden = true));
  stage.addEventListener(
    "wheel",
    (event) => {
      // The page scrolls as ever; with a key, or by a pinch, the drawing zooms.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const place = stage.getBoundingClientRect();
      zoom(Math.exp(0.002 * event.deltaY), {
        x: (event.clientX - place.left) / place.width,
        y: (event.clientY - place.top) / place.height,
      });
    },
    { passive: false },
  );
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook has shortcuts of its own
    if (event.target === search) return;
    const box = event.target.closest?.("[data-box]");
    const far = view.width / 12;
    const keys = {
      ArrowLeft: () => move(-far, 0),
      ArrowRight: () => move(far, 0),
      ArrowUp: () => move(0, -far),
      ArrowDown: () => move(0, far),
      "+": () => zoom(1 / STEP),
      "=": () => zoom(1 / STEP),
      "-": () => zoom(STEP),
      0: fit,
      ...(box && {
        Enter: () => act(Number(box.dataset.box)),
        " ": () => act(Number(box.dataset.box)),
      }),
    };
    if (event.target.tagName !== "BUTTON" && keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  search.addEventListener("input", () => {
    const words = search.value.trim().toLowerCase();
    let first = -1;
    boxes().forEach((box, index) => {
      const names = [box.name, ...box.capsules];
      const found = words && names.some((n) => n.toLowerCase().includes(words));
      group(index).classList.toggle("capsjax-found", Boolean(found));
      if (found && first < 0) first = index;
    });
    search.classList.toggle("capsjax-nothing", Boolean(words) && first < 0);
    if (first >= 0) reveal(first);
  });
  search.addEventListener("keydown", (event) => {
    const first = svg.querySelector(".capsjax-found");
    if (event.key === "Enter" && first) choose(Number(first.dataset.box));
  });

  element("p", "capsjax-hint", panel, "Click a block to open it, a capsule for its equation.");
  model.on("change:scene", paint);
  paint();
  const sized = new ResizeObserver(fit);
  sized.observe(stage);
  return () => {
    sized.disconnect();
    model.off("change:scene", paint);
  };
}

export default { render };
