// Light or dark before anything is drawn: as chosen, or as the system is. Without this script it is light.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = root.dataset.theme;
    root.dataset.bsTheme = chosen === "dark" || (chosen !== "light" && system.matches) ? "dark" : "light";
  };
  system.addEventListener("change", apply);
  apply();
  const next = { auto: "light", light: "dark", dark: "auto" };
  addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector(".theme-switch");
    if (!button) return;
    const say = () => { button.title = button.dataset[root.dataset.theme]; };
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      root.dataset.theme = next[root.dataset.theme] || "auto";
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
      apply();
      say();
    });
  });
})();
