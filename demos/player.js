() => {
  // A video that the browser cannot play: the server is told, makes a preview, and shows single frames until then.
  const place = () => document.querySelector('#kf-player');
  let asked = '';
  const clock = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'currentTime');
  const shift = (video) => {  // a file's clock may begin anywhere; on this page, its first frame has 0 s
    const offset = +video.dataset.offset;
    video.shifted = true;
    if (offset) Object.defineProperty(video, 'currentTime', { get: () => clock.get.call(video) - offset, set: (second) => clock.set.call(video, second + offset) });
  };
  const check = () => {
    const shown = place()?.querySelector('video, .kf-still');
    if (shown?.dataset.offset && !shown.shifted) shift(shown);
    if (!shown || shown.dataset.video !== asked) asked = '';
    if (!shown?.dataset.video || asked) return;
    const blind = shown.matches('video') ? shown.error?.code >= 3 || (shown.readyState > 0 && !shown.videoWidth) : shown.matches('.kf-preparing');
    if (!blind) return;
    asked = shown.dataset.video;
    document.dispatchEvent(new CustomEvent('kf-unplayable', { detail: { video: asked } }));
  };
  for (const name of ['error', 'loadedmetadata']) document.addEventListener(name, check, true);
  new MutationObserver(check).observe(document.body, { childList: true, subtree: true });
  document.addEventListener('kf-still', ({ detail }) => {
    for (const plot of document.querySelectorAll('.kf-plot')) {
      const head = plot.querySelector('.kf-playhead');
      head.style.display = 'block';
      head.style.left = 100 * Math.min(1, detail.second / plot.dataset.duration) + '%';
    }
  });
}
