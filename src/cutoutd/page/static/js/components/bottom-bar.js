/** A bar that stays at the lower edge of the window: messages, and what the focus goes to, keep above it. */

const HEIGHT = "--savebar";

/** Tells the page's style how high the bar is, until `signal` is aborted. Returns what takes another element for the bar. */
export function watchBottomBar(signal) {
  const { style } = document.documentElement;
  const observer = new ResizeObserver(([{ target }]) => style.setProperty(HEIGHT, `${target.offsetHeight}px`));
  signal.addEventListener("abort", () => {
    observer.disconnect();
    style.removeProperty(HEIGHT);
  });
  return (bar) => {
    observer.disconnect();
    observer.observe(bar);
  };
}
