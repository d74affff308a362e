/* Light or dark: as the system has it, until somebody chooses. Runs before the page is drawn. */

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("rapidrtmp.theme");
  } catch {
    // private windows may not keep it
  }
  const isDark = () => (chosen ? chosen === "dark" : system.matches);

  function apply() {
    root.dataset.theme = isDark() ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  }

  function change() {
    chosen = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("rapidrtmp.theme", chosen);
    } catch {
      // then it holds for this page
    }
    apply();
  }

  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", change);
    apply();
  });
  // In a frame of another page there is the player alone.
  root.classList.toggle("framed", window.top !== window);
})();
