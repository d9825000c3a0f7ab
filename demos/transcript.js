() => {
  // The transcript: thousands of lines, of which only those near the view are in the page, in blocks.
  const BLOCK = 40;
  const TAGS = { fits: 'fits the question', told: 'told to the model' };
  const KINDS = { speech: 'said', screen: 'written' };
  let address = null, cues = [], latest = [], folded = [], shown = [], current = new Set(), main = -1;
  let list = null, blocks = [], marks = { told: [], fits: [] }, marked = '', unseen = false;
  const part = (name) => document.querySelector('#kf-transcript ' + name);
  const source = () => document.querySelector('#kf-keyframes [data-words]');

  // Text ---------------------------------------------------------------------------------------------------

  const clock = (seconds) => {
    const tenths = Math.round(seconds * 10), two = (number) => String(number).padStart(2, '0');
    if (tenths < 600) return (tenths / 10).toFixed(1) + ' s';
    const minutes = Math.floor(tenths / 600), rest = tenths % 600;
    if (minutes < 60) return minutes + ':' + (rest / 10).toFixed(1).padStart(4, '0');
    return Math.floor(minutes / 60) + ':' + two(minutes % 60) + ':' + two(Math.floor(rest / 10));
  };
  // Letters without case, width and the marks of Latin, Hebrew and Arabic; `from` says where each came from.
  const fold = (text) => {
    const out = [], from = [];
    let at = 0;
    for (const sign of text) {
      const plain = sign.normalize('NFKD').replace(/[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0640]/g, '');
      for (const unit of plain.toLowerCase().split('')) { out.push(unit); from.push(at); }
      at += sign.length;
    }
    return { text: out.join(''), from: [...from, at] };
  };
  const wanted = () => fold(part('input[type=search]').value).text.split(/\s+/).filter(Boolean);
  const found = (words) => {
    const hit = (i) => {
      folded[i] ??= fold(cues[i][2]).text;
      return words.every((word) => folded[i].includes(word));
    };
    const only = part('.kf-only').getAttribute('aria-pressed') === 'true';
    const among = only ? [...new Set([...marks.told, ...marks.fits])].filter((i) => cues[i]).sort((a, b) => a - b)
      : cues.map((_, i) => i);
    return words.length ? among.filter(hit) : among;
  };
  const write = (target, text, words) => {
    const { text: plain, from } = words.length ? fold(text) : { text: '', from: [] };
    const marksAt = [];
    for (const word of words) for (let at = plain.indexOf(word); at >= 0; at = plain.indexOf(word, at + word.length))
      marksAt.push([from[at], Math.max(from[at + word.length], from[at + word.length - 1] + 1)]);
    let done = 0;
    for (const [start, end] of marksAt.sort((a, b) => a[0] - b[0])) {
      if (start < done) continue;
      const hit = document.createElement('mark');
      hit.textContent = text.slice(start, end);
      target.append(text.slice(done, start), hit);
      done = end;
    }
    target.append(text.slice(done));
  };

  // Lines --------------------------------------------------------------------------------------------------

  const drawn = (i, words) => {
    const [start, , text, kind, language] = cues[i];
    const row = document.createElement('button'), time = document.createElement('i'), said = document.createElement('span');
    row.type = 'button';
    row.className = 'kf-cue';
    row.tabIndex = -1;
    row.dataset.second = start;
    row.dataset.cue = i;
    time.textContent = clock(start);
    said.dir = 'auto';
    if (language) said.lang = language;
    write(said, text, words);
    row.append(time, said);
    const tag = marks.fits.includes(i) ? 'fits' : marks.told.includes(i) ? 'told' : '';
    if (tag) row.classList.add('kf-' + tag);
    if (KINDS[kind] || tag) {
      const note = document.createElement('small'), why = document.createElement('b');
      why.textContent = TAGS[tag] || '';
      note.append(KINDS[kind] ? KINDS[kind] + ' ' : '', why);
      row.append(note);
    }
    if (current.has(i)) row.setAttribute('aria-current', 'true');
    return row;
  };
  const fill = (block) => {
    if (block.firstChild) return;
    const words = wanted(), first = +block.dataset.block * BLOCK;
    block.append(...shown.slice(first, first + BLOCK).map((i) => drawn(i, words)));
    block.style.height = '';
  };
  const empty = (block) => {
    if (!block.firstChild || block.contains(document.activeElement) || !list.offsetParent) return;
    block.style.height = block.offsetHeight + 'px';
    block.textContent = '';
  };
  let nearby = null;  // a margin counts only around the element that scrolls
  const watch = () => {
    nearby?.disconnect();
    nearby = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) if (target.isConnected) (isIntersecting ? fill : empty)(target);
    }, { root: list, rootMargin: '900px 0px' });
  };
  const rebuild = () => {
    watch();
    const words = wanted(), all = cues.length.toLocaleString();
    shown = found(words);
    blocks = [];
    for (let first = 0; first < shown.length; first += BLOCK) {
      const block = document.createElement('div');
      block.dataset.block = blocks.length;
      let height = 0;  // until it is drawn: a line of about 60 letters has 30 pixels
      for (const i of shown.slice(first, first + BLOCK)) height += 12 + 19 * Math.ceil(cues[i][2].length / 60);
      block.style.height = height + 'px';
      blocks.push(block);
    }
    list.replaceChildren(...blocks);
    if (blocks.length) fill(blocks[0]);
    blocks.forEach((block) => nearby.observe(block));
    const some = shown.length < cues.length;
    const nothing = !source() ? 'The words of a video stand here once it has been read.' : source().dataset.words ? 'Fetching the words …' : source().dataset.none;
    part('.kf-count').textContent = !cues.length ? nothing
      : some ? shown.length.toLocaleString() + ' of ' + all + (cues.length === 1 ? ' line' : ' lines') : all + (cues.length === 1 ? ' line' : ' lines');
  };
  const rowOf = (i) => {
    let low = 0, high = shown.length;
    while (low < high) { const middle = (low + high) >> 1; if (shown[middle] < i) low = middle + 1; else high = middle; }
    if (shown[low] !== i) return null;
    fill(blocks[Math.floor(low / BLOCK)]);
    return blocks[Math.floor(low / BLOCK)].children[low % BLOCK];
  };
  const show = (i) => {  // by scrolling the list alone, never the page
    const row = rowOf(i);
    if (!row || !list.clientHeight) return row;
    const top = row.offsetTop - list.scrollTop, room = list.clientHeight;
    if (top < 0 || top + row.offsetHeight > room * 0.8) list.scrollTop = row.offsetTop - room * 0.3;
    return row;
  };

  // The player ---------------------------------------------------------------------------------------------

  const heard = (second) => {
    let low = 0, high = cues.length;
    while (low < high) { const middle = (low + high) >> 1; if (cues[middle][0] <= second) low = middle + 1; else high = middle; }
    const now = [];
    for (let i = low - 1; i >= 0 && latest[i] > second && low - i < 500; i--) if (cues[i][1] > second) now.push(i);
    return [low - 1, now];
  };
  const follow = (second) => {
    const [last, now] = heard(second);
    for (const row of list.querySelectorAll('[aria-current]')) if (!now.includes(+row.dataset.cue)) row.removeAttribute('aria-current');
    current = new Set(now);
    for (const i of now) list.querySelector(`[data-cue="${i}"]`)?.setAttribute('aria-current', 'true');
    const before = main;
    main = now.length ? now[0] : last;
    if (main !== before && main >= 0 && part('.kf-follow').checked && !part('input[type=search]').value) show(main);
  };
  for (const name of ['timeupdate', 'seeking', 'seeked']) document.addEventListener(name, (event) => {
    if (list && cues.length && event.target.matches?.('#kf-player video')) follow(event.target.currentTime);
  }, true);
  const unfollow = (event) => { if (list && list.contains(event.target)) part('.kf-follow').checked = false; };
  for (const name of ['wheel', 'touchmove']) document.addEventListener(name, unfollow, { capture: true, passive: true });
  document.addEventListener('pointerdown', (event) => { if (event.target === list) unfollow(event); }, true);

  // What people do -----------------------------------------------------------------------------------------

  document.addEventListener('input', (event) => {
    if (!list || event.target !== part('input[type=search]')) return;
    rebuild();
    if (event.target.value) list.scrollTop = 0;
    else if (main >= 0) show(main);
  });
  document.addEventListener('change', (event) => { if (list && event.target === part('.kf-follow') && event.target.checked && main >= 0) show(main); });
  document.addEventListener('click', (event) => {
    if (!list) return;
    const only = event.target.closest('#kf-transcript .kf-only');
    if (only) {
      only.setAttribute('aria-pressed', String(only.getAttribute('aria-pressed') !== 'true'));
      rebuild();
      show(marks.fits.length && only.getAttribute('aria-pressed') === 'true' ? marks.fits[0] : main);
    }
    if (event.target.closest('.kf-cue')) part('.kf-follow').checked = true;
  });
  const keys = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  document.addEventListener('keydown', (event) => {
    if (!list || !(event.key in keys) || !list.contains(event.target) || !shown.length) return;
    event.preventDefault();
    const at = event.target.dataset.cue;
    const from = at === undefined ? Math.max(0, shown.indexOf(main)) - (event.key === 'ArrowDown' ? 1 : 0) : shown.indexOf(+at);
    part('.kf-follow').checked = false;
    show(shown[Math.min(shown.length - 1, Math.max(0, from + keys[event.key]))])?.focus({ preventScroll: true });
  });

  // What the server says -----------------------------------------------------------------------------------

  const visible = new IntersectionObserver((entries) => {  // somebody opens the tab
    if (!entries.some((entry) => entry.isIntersecting)) return;
    if (unseen && marks.fits.length) show(marks.fits[0]);
    else if (main >= 0 && part('.kf-follow').checked) show(main);
    unseen = false;
  });
  const loaded = (rows) => {
    cues = rows;
    folded = [];
    latest = [];
    for (const [i, cue] of cues.entries()) latest.push(Math.max(cue[1], i ? latest[i - 1] : 0));
    main = -1;
    current = new Set();
    rebuild();
    const player = document.querySelector('#kf-player video');
    if (player && cues.length) follow(player.currentTime);
  };
  const load = (from, name, tries) => fetch(from).then((answer) => answer.json()).then(
    (rows) => { if (name === address) loaded(rows); },
    () => {  // a network that breaks
      if (name !== address) return;
      if (tries) setTimeout(() => load(from, name, tries - 1), 2000);
      else part('.kf-count').textContent = 'The words could not be fetched; reload the page.';
    });
  const sync = () => {
    const mounted = part('.kf-lines');
    if (!mounted) return;
    const now = source() ? source().dataset.words : '', lines = document.querySelector('#kf-keyframes [data-lines]')?.dataset.lines || '';
    const moved = mounted !== list || marked !== lines;
    if (mounted !== list) {
      list = mounted;
      visible.disconnect();
      visible.observe(list);
    }
    if (marked !== lines) {
      marked = lines;
      marks = lines ? JSON.parse(lines) : { told: [], fits: [] };
      unseen = true;
      const count = new Set([...marks.told, ...marks.fits]).size, only = part('.kf-only');
      only.hidden = !count;
      only.setAttribute('aria-pressed', 'false');
      only.textContent = count === 1 ? '1 line of the last answer' : count + ' lines of the last answer';
    }
    const name = now + (source() ? source().dataset.none : '');
    if (name !== address) {
      address = name;
      loaded([]);
      if (now) load(now, name, 5);
    } else if (moved) rebuild();
  };
  let asked = false;
  new MutationObserver(() => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; sync(); });
  }).observe(document.body, { childList: true, subtree: true });
}
