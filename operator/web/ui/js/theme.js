// Runs before the first paint, so that a chosen theme doesn't flash the other one.
(() => {
  try {
    const theme = localStorage.getItem('foresail.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch { /* storage may be forbidden; the system's theme is fine */ }
})();
