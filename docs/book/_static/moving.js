/* Pictures that move: one range input each. Without this script they stand still. */
"use strict";

for (const figure of document.querySelectorAll("figure.compare")) {
  const range = figure.querySelector("input");
  range.addEventListener("input", () => figure.style.setProperty("--at", range.value / 100));
}

for (const figure of document.querySelectorAll("figure.frames")) {
  const range = figure.querySelector("input");
  const frames = [...figure.querySelectorAll(".frame")];
  const show = () => {
    frames.forEach((frame, i) => (frame.hidden = i !== range.valueAsNumber));
    range.setAttribute("aria-valuetext", frames[range.valueAsNumber].querySelector("p").textContent);
  };
  range.addEventListener("input", show);
  show();
}

/* Whatever scrolls sideways can be scrolled with the keyboard. */
const reach = () => {
  const wide = "pre, .table-wrapper, .math-wrapper, mjx-container[display=true]";
  for (const box of document.querySelectorAll(wide)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
};
addEventListener("load", reach);
addEventListener("resize", reach);
