(() => {
  const chart = document.getElementById("overview");
  const data = document.getElementById("points");
  if (!chart || !data) return;
  const { left, right, width, perReplica, points } = JSON.parse(data.textContent);
  const tip = chart.querySelector(".tip");
  const show = (n) => (n === null ? "no data" : n);
  chart.addEventListener("pointermove", (event) => {
    const box = chart.querySelector("svg").getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    const share = (x - left) / (width - right - left);
    if (share < 0 || share > 1) { tip.hidden = true; return; }
    const [at, need, ours, hpa] = points[Math.min(points.length - 1, Math.floor(share * points.length))];
    const time = new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");
    tip.textContent = `${time} · needed ${show(need)} · Foresail ${show(ours)} · HPA ${show(hpa)}`;
    tip.hidden = false;
    const beside = event.clientX - box.left;
    tip.style.left = beside > box.width / 2 ? "auto" : `${beside + 14}px`;
    tip.style.right = beside > box.width / 2 ? `${box.width - beside + 14}px` : "auto";
  });
  chart.addEventListener("pointerleave", () => { tip.hidden = true; });
})();
