/** A bar that stays at the lower edge of the window: messages, and what the focus goes to, keep above it. */

const HEIGHT = "--savebar";

/**
 * Tells the page's style how much of the window the bar takes, until `signal` is aborted: from its upper edge, since below a short list it
 * stands above the window's lower edge. Returns what takes another element for the bar.
 */
export function watchBottomBar(signal) {
  const { style } = document.documentElement;
  let watched = null;
  const measure = () => {
    if (!watched?.isConnected) return;
    const room = watched.offsetHeight && Math.max(0, window.innerHeight - watched.getBoundingClientRect().top);
    style.setProperty(HEIGHT, `max(0px, ${room}px - var(--below, 0px))`);
  };
  const observer = new ResizeObserver(measure);
  for (const event of ["scroll", "resize"]) window.addEventListener(event, measure, { passive: true, signal });
  signal.addEventListener("abort", () => {
    observer.disconnect();
    style.removeProperty(HEIGHT);
  });
  return (bar) => {
    watched = bar;
    observer.disconnect();
    for (let one = bar; one; one = one.parentElement) observer.observe(one); // what is above moves it
  };
}
