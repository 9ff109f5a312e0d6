/** Sets the theme: light, dark or the system's. A classic script in the head, so that the first paint is right. */

(() => {
  const KEPT = "data-tracker.theme";
  const CHOICES = ["auto", "light", "dark"];
  let chosen = "auto";
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    if (CHOICES.includes(kept)) chosen = kept;
  } catch {
    // without storage the theme follows the system
  }
  const root = document.documentElement;
  root.dataset.theme = chosen;

  addEventListener("theme:next", () => {
    root.dataset.theme = CHOICES[(CHOICES.indexOf(root.dataset.theme) + 1) % CHOICES.length];
    try {
      localStorage.setItem(KEPT, JSON.stringify(root.dataset.theme));
    } catch {
      // without storage the choice lasts until the page is closed
    }
    dispatchEvent(new Event("theme:changed"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme:changed")));
})();
