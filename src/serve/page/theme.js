// Light, dark, or as the system says; remembered where storage is allowed.
import { el } from "./dom.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SIGN = { auto: "◐", light: "○", dark: "●" };

function remembered() {
  try {
    const theme = localStorage.getItem("arbiter-theme");
    return theme in NEXT ? theme : "auto";
  } catch {
    return "auto";
  }
}

export function initTheme(button) {
  let theme = remembered();
  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.replaceChildren(SIGN[theme], el("span", { class: "wide" }, ` ${theme}`));
    button.setAttribute("aria-label", `Colours: ${theme}; change to ${NEXT[theme]}`);
  };
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    try {
      localStorage.setItem("arbiter-theme", theme);
    } catch {
      // Storage is refused: the choice lasts as long as the page.
    }
    show();
  });
  show();
}
