/** Small drawings of what a form makes: a vase, and what is around it. */

import { svg } from "../core/dom.js";

const VASE = "M52 22h16c0 7-3 10-3 15 0 8 15 13 15 29 0 12-9 20-20 20s-20-8-20-20c0-16 15-21 15-29 0-5-3-8-3-15z";
const SMALL = "M54 34h12c0 5-2 7-2 11 0 6 11 10 11 22 0 9-7 15-15 15s-15-6-15-15c0-12 11-16 11-22 0-4-2-6-2-11z";

function checks() {
  const found = [];
  for (let y = 0; y < 100; y += 10) for (let x = 0; x < 120; x += 10) if ((x + y) % 20) found.push(`M${x} ${y}h10v10h-10z`);
  return svg("path", { class: "draw-check", d: found.join("") });
}

const vase = (d = VASE) => svg("path", { class: "draw-subject", d });
const background = (kind) => svg("rect", { class: `draw-${kind}`, width: 120, height: 100 });

const DRAWINGS = {
  transparent: () => [background("light"), checks(), vase()],
  "shop-white": () => [background("grey"), svg("rect", { class: "draw-white", x: 22, y: 8, width: 76, height: 84 }), vase()],
  marketplace: () => [
    background("grey"),
    svg("rect", { class: "draw-white", x: 15, y: 5, width: 90, height: 90 }),
    svg("rect", { class: "draw-frame", x: 22, y: 12, width: 76, height: 76 }),
    vase(),
  ],
  designer: () => [
    background("grey"),
    svg("g", { transform: "translate(-22 -6)" }, svg("rect", { class: "draw-black", x: 30, y: 22, width: 60, height: 70 }), svg("path", { class: "draw-matte", d: SMALL })),
    svg("g", { transform: "translate(20 4)" }, svg("rect", { class: "draw-light draw-edge", x: 30, y: 22, width: 60, height: 70 }), vase(SMALL)),
  ],
};

/** The drawing of a form by its name; of one that is not known, that of "transparent". */
export function formDrawing(form) {
  const draw = DRAWINGS[form.replaceAll("_", "-")] ?? DRAWINGS[Object.keys(DRAWINGS).find((one) => form.includes(one.split("-")[0]))] ?? DRAWINGS.transparent;
  return svg("svg", { class: "drawing", viewBox: "0 0 120 100", "aria-hidden": "true", focusable: "false" }, draw());
}
