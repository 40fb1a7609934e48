// A graph over the steps of training: error signals as color, gradients as lines.
const NS = "http://www.w3.org/2000/svg";
const INCH = 96, MARGIN = 0.15;

function make(parent, kind, attributes) {
  const node = document.createElementNS(NS, kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent.append(node);
  return node;
}

function share(value, scale) {
  const at = (value - scale.low) / (scale.high - scale.low);
  return Math.min(Math.max(at, 0), 1);
}

function shade(value, scale) {
  return scale.shades[Math.round(share(value, scale) * (scale.shades.length - 1))];
}

function ink(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 127 ? "#0b0f13" : "#ffffff";
}

function plainNumber(power) {
  return power < -4 || power > 5 ? `1e${power}` : String(Number(`1e${power}`));
}

function bar(parent, title, scale) {
  const whole = document.createElement("div");
  const name = document.createElement("div");
  name.textContent = title;
  const row = document.createElement("div");
  row.className = "bar";
  const shades = document.createElement("div");
  shades.className = "shades";
  shades.style.background = `linear-gradient(to top, ${scale.shades.join(",")})`;
  const marks = document.createElement("div");
  marks.className = "marks";
  const step = Math.max(1, Math.ceil((scale.high - scale.low) / 8));
  for (let power = scale.high; power >= scale.low - 1e-9; power -= step) {
    const mark = document.createElement("span");
    mark.textContent = plainNumber(Math.round(power));
    marks.append(mark);
  }
  row.append(shades, marks);
  whole.append(name, row);
  parent.append(whole);
}

function render({ model, el }) {
  const graph = model.get("graph");
  const root = document.createElement("div");
  root.className = "capsjax-learning";
  const head = document.createElement("label");
  head.className = "head";
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: graph.steps.length - 1, step: 1 });
  slider.setAttribute("aria-label", "step");
  const told = document.createElement("output");
  head.append(told, slider);
  const page = document.createElement("div");
  page.className = "page";
  const frame = document.createElement("div");
  frame.className = "graph";
  page.append(frame);
  bar(page, "|delta|, of one example", graph.signalScale);
  bar(page, "|dL/dW|", graph.gradientScale);
  root.append(head, page);
  el.append(root);

  const [wide, high] = graph.size.map((own) => own + 2 * MARGIN);
  const svg = make(frame, "svg", {
    viewBox: `${-MARGIN} ${-MARGIN} ${wide} ${high}`,
    width: wide * INCH, height: high * INCH,
  });
  const lines = graph.lines.map((path) => make(svg, "polyline", {
    points: path.map((point) => point.join(",")).join(" "), fill: "none",
  }));
  const boxes = graph.boxes.map(([name, x, y, width, height]) => {
    const group = make(svg, "g", {});
    const box = make(group, "rect", {
      x: x - width / 2, y: y - height / 2, width, height, rx: 0.08,
      stroke: "var(--gray)", "stroke-width": 0.01,
    });
    const text = make(group, "text", {
      x, y, "text-anchor": "middle", "dominant-baseline": "central", "font-size": 0.11,
    });
    text.textContent = name;
    const hint = make(group, "title", {});
    return { name, box, text, hint };
  });

  function show() {
    const at = model.get("place");
    slider.value = at;
    told.textContent = `step ${graph.steps[at].toLocaleString("en")}`;
    graph.gradients[at].forEach((value, i) => {
      const none = value === null;
      const width = none ? 0.008 : 0.01 + 0.05 * share(value, graph.gradientScale);
      lines[i].setAttribute("stroke", none ? "var(--gray)" : shade(value, graph.gradientScale));
      lines[i].setAttribute("stroke-width", width);
    });
    graph.signals[at].forEach((value, i) => {
      const { name, box, text, hint } = boxes[i];
      const color = value === null ? null : shade(value, graph.signalScale);
      box.setAttribute("fill", color ?? "var(--card)");
      text.setAttribute("fill", color === null ? "var(--ink)" : ink(color));
      const size = value === null ? "no error signal" : `|delta| ${(10 ** value).toPrecision(3)}`;
      hint.textContent = `${name}: ${size}`;
    });
  }
  slider.addEventListener("input", () => {
    model.set("place", Number(slider.value));
    model.save_changes();
    show();
  });
  model.on("change:place", show);
  show();
  return () => model.off("change:place", show);
}

export default { render };
