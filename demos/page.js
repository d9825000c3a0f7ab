() => {
  const player = () => document.querySelector('#kf-player video');
  const still = () => document.querySelector('#kf-player .kf-still');
  const seek = (video, second, before) => {  // a browser that learns a file's length as it reads may stop short
    video.currentTime = video.aim = second;
    const reached = video.currentTime;
    if (second - reached < 0.01 || reached === before) return;
    video.addEventListener('seeked', () => { if (video.aim === second) seek(video, second, reached); }, { once: true });
  };
  const jump = (second) => {
    const video = player();
    if (!isFinite(second)) return;
    if (!video) return still() && document.dispatchEvent(new CustomEvent('kf-still', { detail: { second } }));
    video.pause();
    seek(video, second + 0.001, -1);  // a hair behind a frame's own time, or rounding shows the one before
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
  const question = () => document.querySelector('#kf-question textarea:not([disabled])');
  const write = () => question() && question().focus({ preventScroll: true });
  document.addEventListener('click', (event) => {  // Send and Stop take each other's place: keep the focus
    if (event.target.closest('.kf-skip')) { event.preventDefault(); question() && question().focus(); }
    if (event.target.closest('#kf-question button')) write();
  });
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') document.querySelector('#kf-question .stop-button')?.click();
    if (event.key === '/' && !event.target.closest('input, textarea, select') && question()) {
      event.preventDefault();
      question().focus();
    }
  });
  // Take away: an answer, a file, a link to a moment.
  const say = (text) => {
    const toast = document.querySelector('.kf-toast') || document.body.appendChild(document.createElement('div'));
    toast.className = 'kf-toast';
    toast.setAttribute('role', 'status');
    toast.textContent = text;
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => { toast.textContent = ''; }, 2500);
  };
  const copy = async (text) => {
    try { await navigator.clipboard.writeText(text); } catch {  // a page that came over http from another machine
      const area = document.body.appendChild(document.createElement('textarea'));
      area.value = text;
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    say('Copied');
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-save], [data-copy], [data-moment]');
    if (!button) return;
    event.preventDefault();
    if (button.dataset.save !== undefined) return window.kfSave(button.dataset.save);
    if (button.dataset.copy !== undefined) return copy(button.dataset.copy);
    const here = new URL(location.href);
    const second = player() ? player().currentTime : +still().dataset.shown;
    here.hash = '#t=' + second.toFixed(3) + '&video=' + encodeURIComponent((player() || still()).dataset.name);
    copy(here.href);
  });
  // A link to a moment: this tab shows it where it has the video, else another tab of this browser.
  const tabs = new BroadcastChannel('kf-moments');
  const shows = (name) => (player() || still()) && (!name || (player() || still()).dataset.name === name);
  const linked = () => {
    const found = new URLSearchParams(location.hash.slice(1));
    return found.has('t') && { second: +found.get('t'), name: found.get('video') };
  };
  let wanted = linked();
  const show = () => {
    if (!wanted || !shows(wanted.name) || player()?.readyState < 1) return;
    jump(wanted.second);
    wanted = false;
  };
  addEventListener('hashchange', () => { wanted = linked(); show(); });
  document.addEventListener('loadedmetadata', show, true);
  tabs.onmessage = ({ data }) => {
    if (data.shown && wanted) { wanted = false; say('Shown in the tab that has ' + data.name); }
    if (data.second === undefined || !shows(data.name)) return;
    jump(data.second);
    tabs.postMessage({ shown: true, name: data.name });
  };
  setTimeout(() => { if (wanted && wanted.name && !shows(wanted.name)) tabs.postMessage(wanted); }, 1500);
  // Follow the answer, unless the reader has scrolled up, by however little.
  const log = () => document.querySelector('#kf-chat [role=log]');
  let following = true, top = 0, followed = null, talkInView = false;
  const seen = new IntersectionObserver(([entry]) => { talkInView = entry.isIntersecting; });
  const notice = () => {
    const { scrollTop, scrollHeight, clientHeight } = log(), left = scrollHeight - scrollTop - clientHeight;
    if (left < 2 || (left < 40 && scrollTop > top)) following = true;
    else if (scrollTop < top) following = false;
    top = scrollTop;
  };
  const keepUp = () => {
    if (!log()?.clientHeight) return;  // there is none, or another tab of the page is in view
    if (followed !== log()) {
      followed = log();
      top = 0;
      seen.disconnect();
      seen.observe(followed);
    }
    notice();  // the event of a movement may be still to come
    if (!following) return;
    log().scrollTop = log().scrollHeight;
    top = log().scrollTop;
  };
  document.addEventListener('scroll', (event) => { if (event.target === log()) notice(); }, true);
  // A phone that is turned: who had the conversation in view, and no video playing, has it in view still.
  const phone = matchMedia('(max-width:760px)');
  phone.addEventListener('change', () => {
    if (!talkInView || player()?.paused === false || !log()?.querySelector('.message')) return;
    setTimeout(() => { document.querySelector('#kf-chat').scrollIntoView({ block: 'start' }); keepUp(); }, 100);
  });
  const asked = () => {
    following = true;
    const chat = document.querySelector('#kf-chat');
    if (phone.matches) chat.scrollIntoView({ block: 'start' });
  };
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && event.target === question()) asked();
  });
  document.addEventListener('click', (event) => { if (event.target.closest('.submit-button')) asked(); });
  const names = [['.submit-button', 'Send'], ['.stop-button', 'Stop (Esc)']];
  let writable = false;
  new MutationObserver(() => {
    keepUp();
    for (const [selector, name] of names) {
      const button = document.querySelector('#kf-question ' + selector);
      if (button && !button.title) { button.title = name; button.setAttribute('aria-label', name); }
    }
    document.querySelector('#kf-chat .examples[role=list]')?.setAttribute('role', 'group');  // it holds buttons
    const before = writable;
    writable = Boolean(question());
    // With a mouse or keyboard the question comes next; on a phone the keyboard would cover the video.
    if (writable && !before && document.activeElement === document.body && matchMedia('(pointer: fine)').matches) write();
  }).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ['disabled'] });
}
