// In the head, so that a chosen scheme holds before anything is painted. A page opened from a file may have no storage.
try { const s = localStorage.getItem("scheme"); if (s) document.documentElement.dataset.scheme = s; } catch {}
