() => {
  const player = () => document.querySelector('#kf-player video');
  const jump = (second) => {
    const video = player();
    if (!video || !isFinite(second)) return;
    video.pause();
    video.currentTime = second + 0.001;  // a hair behind a frame's own time, or rounding shows the one before
    if (video.getBoundingClientRect().top < 0) video.scrollIntoView({ block: 'start', behavior: 'smooth' });
  };
  const secondAt = (plot, x) => {
    const box = plot.getBoundingClientRect();
    return Math.min(1, Math.max(0, (x - box.left) / box.width)) * plot.dataset.duration;
  };
  document.addEventListener('click', (event) => {
    const named = event.target.closest('[data-second]');
    if (named) return jump(+named.dataset.second);
    const link = event.target.closest('a[href*="#t="]');
    if (link) { event.preventDefault(); return jump(+link.href.split('#t=')[1]); }
    const plot = event.target.closest('.kf-plot');
    if (plot) jump(secondAt(plot, event.clientX));
  }, true);
  document.addEventListener('mousemove', (event) => {
    const plot = event.target.closest && event.target.closest('.kf-plot');
    for (const hover of document.querySelectorAll('.kf-hover')) {
      const here = plot && plot.contains(hover);
      hover.textContent = here ? secondAt(plot, event.clientX).toFixed(1) + ' s' : '';
      if (here) hover.style.left = (event.clientX - plot.getBoundingClientRect().left) + 'px';
    }
  });
  const follow = (event) => {
    if (event.target !== player()) return;
    for (const plot of document.querySelectorAll('.kf-plot')) {
      const head = plot.querySelector('.kf-playhead');
      head.style.display = 'block';
      head.style.left = 100 * Math.min(1, event.target.currentTime / plot.dataset.duration) + '%';
    }
  };
  for (const name of ['timeupdate', 'seeking', 'seeked']) document.addEventListener(name, follow, true);
  setInterval(() => {  // what the tab keeps of the conversation, should the server end
    const kept = document.querySelector('#kf-kept [data-kept]');
    if (kept) sessionStorage.setItem('kf-conversation', kept.dataset.kept);
  }, 500);
}
