// Draws the panels of `board`, a dashboard of Grafana, at their places, with the curves of `data`, by the panels' ids. A picture for people, no
// replacement for Grafana.
const W = 70, H = 34, colours = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d", "#ffb357", "#ca95e5"];
document.body.style = "margin:0;background:#111217;color:#ccccdc;font:11px sans-serif;position:relative";
const scale = (v, list) => { for (const [at, by, word] of list) if (Math.abs(v) >= at) return (v / by).toPrecision(3) + word; return v.toPrecision(3); };
const k = (word) => [[1e9, 1e9, " G" + word], [1e6, 1e6, " M" + word], [1e3, 1e3, " k" + word], [0, 1, " " + word]];
const units = {
  none: (v) => String(+v.toFixed(2)), percentunit: (v) => (v * 100).toFixed(1) + " %", bps: (v) => scale(v, k("bit/s")), bytes: (v) => scale(v, k("B")),
  pps: (v) => scale(v, k("p/s")), ops: (v) => scale(v, k("/s")), reqps: (v) => scale(v, k("/s")),
  s: (v) => scale(v, [[1, 1, " s"], [1e-3, 1e-3, " ms"], [0, 1e-6, " µs"]]),
};
let bottom = 0;
for (const p of board.panels) {
  const g = p.gridPos, box = document.createElement("div");
  bottom = Math.max(bottom, (g.y + g.h) * H);
  box.style = `position:absolute;left:${g.x * W}px;top:${g.y * H}px;width:${g.w * W - 6}px;height:${g.h * H - 6}px;overflow:hidden;`
    + (p.type === "row" ? "font:bold 14px sans-serif;padding-top:10px" : "background:#181b1f;border:1px solid #2c3235");
  box.title = p.description ?? "";
  box.append(Object.assign(document.createElement("b"), { textContent: p.title, style: "padding:4px;display:block" }));
  document.body.append(box);
  if (p.type === "row") continue;
  const show = units[p.fieldConfig.defaults.unit];
  const curves = (data[p.id] ?? []).map((c) => ({
    name: c.legend.replace(/{{(\w+)}}/g, (_, l) => c.metric[l] ?? ""), points: c.values.map(([t, v]) => [t, +v]).filter(([, v]) => Number.isFinite(v)),
  }));
  if (p.type === "stat") {
    const last = curves[0]?.points.at(-1)?.[1];
    box.append(Object.assign(document.createElement("div"), { textContent: last === undefined ? "no data" : show(last), style: "font:bold 28px sans-serif;text-align:center;color:#73bf69;padding-top:24px" }));
    continue;
  }
  const w = g.w * W - 8, h = g.h * H - 70, all = curves.flatMap((c) => c.points), end = Math.max(...all.map(([t]) => t)), top = Math.max(1e-9, ...all.map(([, v]) => v));
  const canvas = Object.assign(document.createElement("canvas"), { width: w, height: h }), pen = canvas.getContext("2d");
  pen.fillStyle = "#ccccdc";
  pen.font = "10px sans-serif";
  pen.fillText(all.length ? show(top) : "no data", 2, 10);
  pen.fillText("0", 2, h - 2);
  curves.forEach((c, i) => {
    pen.strokeStyle = colours[i % colours.length];
    pen.beginPath();
    for (const [t, v] of c.points) pen.lineTo(40 + (w - 44) * (1 - (end - t) / 60), h - 3 - (h - 8) * v / top);
    pen.stroke();
  });
  const legend = Object.assign(document.createElement("div"), { style: "padding:0 4px" });
  curves.forEach((c, i) => legend.append(Object.assign(document.createElement("span"), { textContent: "▬ " + c.name + "  ", style: "color:" + colours[i % colours.length] })));
  box.append(canvas, legend);
}
document.body.style.height = bottom + "px";
