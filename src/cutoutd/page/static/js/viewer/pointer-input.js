/**
 * Mouse, touch and pen on a viewer: pan, pinch, wheel, the wipe, and the strokes of a tool. Pressure is ignored. Keys are
 * for the views.
 */

const SWIPE = 60; // CSS pixels
const WHEEL_STEP = 100; // of deltaY: a notch of most mice

export class PointerInput {
  // A tool is `{wants(event), begin(at), move(points), end(), cancel(), hover(at), wheel(steps)}`, points in CSS pixels of
  // the viewport. It is given what it wants of the first pointer; a second finger takes over for pan and zoom.
  constructor(viewer) {
    this.viewer = viewer;
    this.tool = null;
    this.pointers = new Map();
    this.doing = null;
    this.pen = null; // the id of the one that is down
    this.stop = new AbortController();
    const on = (target, name, act, options = {}) =>
      target.addEventListener(name, act, { signal: this.stop.signal, ...options });
    const { element, handle } = viewer;
    on(element, "pointerdown", (event) => this.#down(event));
    on(element, "pointermove", (event) => this.#move(event));
    on(element, "pointerup", (event) => this.#up(event));
    on(element, "pointercancel", (event) => this.#up(event, true));
    on(element, "pointerleave", () => this.tool?.hover(null));
    on(element, "wheel", (event) => this.#wheel(event), { passive: false });
    on(element, "dblclick", (event) => this.#double(event));
    on(element, "contextmenu", (event) => this.doing && event.preventDefault());
    on(handle, "keydown", (event) => this.#wipeKey(event));
  }

  destroy() {
    this.stop.abort();
  }

  at(event) {
    const box = this.viewer.element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #down(event) {
    if (event.pointerType === "mouse" && event.button > 1) return;
    if (event.pointerType === "touch" && this.pen !== null) return; // the palm beside the pen
    if (event.pointerType === "pen") this.#takePen(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
    try {
      this.viewer.element.setPointerCapture(event.pointerId);
    } catch {
      // The pointer is gone already: there is nothing to hold.
    }
    if (this.pointers.size === 2) {
      if (this.doing === "draw") this.tool.cancel();
      this.doing = "pinch";
    } else if (this.pointers.size === 1) {
      this.doing = this.#first(event);
      this.from = this.at(event);
      if (this.doing === "draw") this.tool.begin(this.at(event));
      if (this.doing === "pan") this.viewer.element.dataset.dragged = "";
    }
    if (event.button === 1) event.preventDefault();
  }

  // A hand that rests on the screen already does nothing more: neither draws it nor is it one of two fingers.
  #takePen(id) {
    if (this.doing === "draw") this.tool.cancel();
    this.doing = null;
    this.pointers.clear();
    this.pen = id;
  }

  #first(event) {
    if (event.target === this.viewer.handle) return "wipe";
    if (this.tool?.wants(event)) return "draw";
    return event.pointerType === "touch" && this.viewer.fits && !this.tool ? "swipe" : "pan";
  }

  #move(event) {
    const at = this.at(event);
    this.tool?.hover(event.pointerType === "touch" ? null : at);
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (this.doing === "draw") {
      const all = event.getCoalescedEvents?.() ?? [];
      this.tool.move((all.length > 0 ? all : [event]).map((one) => this.at(one)));
    } else if (this.doing === "wipe") this.viewer.setWipe(at.x / this.viewer.viewport.width);
    else if (this.doing === "pan") this.viewer.pan(at.x - before.x, at.y - before.y);
    else if (this.doing === "pinch") this.#pinch(event.pointerId, before, at);
    this.pointers.set(event.pointerId, at);
  }

  #pinch(id, before, at) {
    const other = [...this.pointers].find(([one]) => one !== id)?.[1];
    if (!other) return;
    const apart = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
    const middle = { x: (before.x + other.x) / 2, y: (before.y + other.y) / 2 };
    this.viewer.zoomTo(this.viewer.place.scale * (apart(at) / apart(before)), middle);
    this.viewer.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
  }

  #up(event, cancelled = false) {
    if (event.pointerId === this.pen) this.pen = null;
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.doing === "draw") {
      if (cancelled) this.tool.cancel();
      else this.tool.end();
    }
    if (this.doing === "swipe" && !cancelled) this.#swiped(this.at(event));
    delete this.viewer.element.dataset.dragged;
    // A finger that is left after a pinch draws nothing; it may pan.
    this.doing = this.pointers.size === 1 ? "pan" : null;
  }

  // A finger that goes sideways over a whole picture asks for another one.
  #swiped(to) {
    const [dx, dy] = [to.x - this.from.x, to.y - this.from.y];
    if (Math.abs(dx) < SWIPE || Math.abs(dx) < 2 * Math.abs(dy)) return;
    this.viewer.dispatchEvent(new CustomEvent("swipe", { detail: dx < 0 ? 1 : -1 }));
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 33 : event.deltaY;
    const steps = Math.max(-2, Math.min(2, -lines / WHEEL_STEP));
    if (event.ctrlKey && this.tool?.wheel(steps)) return;
    this.viewer.zoomBy(steps, this.at(event));
  }

  #double(event) {
    if (!this.tool && event.target !== this.viewer.handle) this.viewer.toggleZoom(this.at(event));
  }

  #wipeKey(event) {
    const { wipe } = this.viewer;
    const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
    if (steps === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.viewer.setWipe(wipe + steps);
  }
}
