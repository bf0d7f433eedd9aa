/**
 * Fix: a cutout is mended by strokes. The preview is there at once; saved, it is cut again by cutoutd with these strokes and published as
 * a new version. Strokes that are not saved are kept for as long as the tab lives.
 */

import { hadNoAnswer, on, read, write, writeForBlob } from "../core/api.js";
import { onOverview, overview, reviewFilter } from "../core/app-state.js";
import { ask } from "../core/dialogs.js";
import { listen } from "../core/dom.js";
import { bind } from "../core/keyboard-shortcuts.js";
import { announce, toast } from "../core/messages.js";
import { go } from "../core/router.js";
import { StoredValue } from "../core/stored-value.js";
import { errorText, has, said, t } from "../core/text.js";
import { keepUnsaved } from "../core/unsaved-work.js";
import { PyramidCache } from "../viewer/pyramid-cache.js";
import { TileLoader } from "../viewer/tile-loader.js";
import { ViewToolbar } from "../viewer/view-toolbar.js";
import { Viewer } from "../viewer/viewer.js";
import { BrushControls } from "./brush-controls.js";
import { Brush } from "./brush.js";
import { CorrectionSaver } from "./correction-saver.js";
import { FixPanel } from "./fix-panel.js";
import { FixScreen } from "./fix-screen.js";
import { FixSession } from "./fix-session.js";
import { laterNote, resultNote } from "./saved-notes.js";
import { StrokeDraft } from "./stroke-draft.js";
import { hasRoom, StrokeHistory } from "./strokes.js";

export const title = "fix.title";

const AGAIN_MS = 5000; // between two tries to get an answer
const SHOWN_MS = 3000; // for the tiles of a result

export async function show(place, { args, signal }) {
  await new Fix(place, Number(args[0]), signal).start();
}

class Fix {
  constructor(place, number, signal) {
    this.place = place;
    this.number = number;
    this.signal = signal;
    this.pyramids = new PyramidCache();
    this.session = new FixSession({ write, writeForBlob }, number);
    this.history = new StrokeHistory();
    this.draft = new StrokeDraft(sessionStorage, number);
    const stored = new StoredValue(sessionStorage, `cutoutd-requests-${number}`);
    this.saver = new CorrectionSaver({ number, session: this.session, api: { read, write }, stored, signal });
    this.carried = null; // the history whose strokes are to come on top of a cutout that somebody else has made
    this.sent = this.history.correction; // what was saved last, or is being saved
    this.state = "starting"; // "starting", "drawing", "saving", "saved", "lost"
    this.#build();
    this.#listen();
  }

  get job() {
    return this.saver.job;
  }

  async start() {
    this.#become("starting");
    this.panel.say(t("fix.starting"));
    try {
      this.saver.job = await read("job", { job: this.number }, { signal: this.signal });
      this.screen.setName(this.job.name);
      const entry = await this.pyramids.need(this.job, ["source"]);
      if (this.signal.aborted) return;
      if (!entry.pyramids.source) throw entry.failed.source;
      this.viewer.show(entry);
      await this.#begin();
    } catch (error) {
      if (error.name === "AbortError" || this.signal.aborted) return;
      this.#become("lost");
      this.panel.say(errorText(error), "bad", error.status === 0 || error.status === 503 ? () => this.start() : null);
    }
  }

  async #begin() {
    const started = await this.session.start(this.signal);
    if (this.signal.aborted) return this.session.end();
    this.brush.start(started);
    this.history = new StrokeHistory(started);
    const kept = this.draft.after(this.job.seen, this.history.strokes);
    for (const stroke of kept.strokes) this.history.add(stroke);
    this.history.suggestion = kept.suggestion ?? this.history.suggestion;
    if (this.carried) this.#carryOn();
    this.#become("drawing");
    this.panel.say(t("fix.start"));
    this.#showStrokes();
    this.viewer.element.focus({ preventScroll: true });
  }

  #build() {
    const { place, signal } = this;
    this.loader = new TileLoader();
    this.viewer = new Viewer(this.loader, { label: t("fix.title"), wipeLabel: t("look.wipeHandle") });
    this.viewer.composes = true;
    this.toolbar = new ViewToolbar(this.viewer);
    this.brush = new Brush(this.viewer);
    this.panel = new FixPanel((action, value) => this.#act(action, value));
    this.controls = new BrushControls(this.brush, this.panel, signal);
    this.screen = new FixScreen(place, { viewer: this.viewer, toolbar: this.toolbar, panel: this.panel, leave: () => this.#leave(), signal });
    signal.addEventListener("abort", () => {
      clearTimeout(this.later);
      this.session.end();
      this.brush.destroy();
      this.viewer.destroy();
      this.loader.clear();
    });
  }

  #listen() {
    const { signal } = this;
    listen(this.brush, "begin", () => this.#draws(), signal);
    listen(this.brush, "stroke", (stroke) => this.#stroke(stroke), signal);
    listen(this.session, "preview", (preview) => this.#preview(preview), signal);
    listen(this.session, "trouble", (error) => this.#trouble(error), signal);
    listen(this.session, "busy", () => (this.screen.busy.hidden = !this.session.busy), signal);
    listen(this.saver, "published", ({ undone }) => this.#published(undone), signal);
    listen(this.saver, "failed", (error) => this.#saveFailed(error), signal);
    listen(this.saver, "replaced", () => this.#startOver(), signal);
    listen(this.saver, "refused", (text) => this.#refused(text), signal);
    on("jobs", ({ ended = [] }) => this.saver.take(ended.find((one) => one.job === this.number)), signal);
    on("connection", ({ up }) => up && this.#back(), signal);
    onOverview((now) => this.isCutting && this.#tellSaved(laterNote(now, this.job.folder)), signal); // as a disk that is full by now
    keepUnsaved(() => this.history.changed && this.state !== "saved", { signal });
    window.addEventListener("pagehide", () => this.session.end(), { signal }); // a window that is closed holds no worker
    const actions = ["keep", "remove", "paint", "undo", "redo", "undoAll", "save", "suggestion"];
    bind(
      {
        ...this.toolbar.actions,
        ...Object.fromEntries(actions.map((one) => [one, () => this.#act(one)])),
        smaller: () => this.brush.resize(-1),
        larger: () => this.brush.resize(1),
        escape: () => this.#leave(),
      },
      signal,
    );
  }

  #act(action, value) {
    const doing = {
      keep: () => this.#kind("keep"),
      remove: () => this.#kind("remove"),
      paint: () => this.#kind("paint"),
      size: () => this.controls.setSize(value),
      alpha: () => this.controls.setAlpha(value),
      undo: () => this.#undo(),
      redo: () => this.#step(() => this.history.redo(), "fix.redone"),
      undoAll: () => this.#step(() => this.history.clear() ?? true, "fix.cleared"),
      suggestion: () => this.#suggest(),
      save: () => this.#save(),
      leave: () => this.#leave(),
    };
    return doing[action]();
  }

  #kind(kind) {
    if (!this.brush.picture) return;
    this.#draws();
    this.controls.setKind(kind);
  }

  #stroke(stroke) {
    if (!hasRoom(this.history.strokes, stroke.points.length)) {
      this.brush.setStrokes(this.history.strokes);
      toast(t("fix.full"), { kind: "bad" });
      return;
    }
    this.#draws(); // it may have begun before the others were saved
    this.history.add(stroke);
    this.toolbar.after();
    this.#changed();
  }

  // After every change of the strokes, or of the suggestion for them: they are kept and shown.
  #changed() {
    this.saver.strokesChanged();
    this.draft.keep(this.job.seen, this.history.correction);
    this.#showStrokes();
  }

  // The strokes themselves at once, and the cutout that they make as soon as the preview is there.
  #showStrokes() {
    const { strokes, suggestion } = this.history;
    this.brush.setStrokes(strokes, false);
    this.session.preview(strokes, suggestion);
    this.#draw();
  }

  #undo() {
    if (this.state === "saved") return this.#undoSaved();
    return this.#step(() => this.history.undo(), this.history.strokes.length > 1 ? "fix.undone" : "fix.undoneLast");
  }

  #step(take, said) {
    if (this.state === "starting" || this.state === "saving") return;
    this.#draws();
    if (!take()) return announce(t("fix.nothingToUndo"));
    this.#changed();
    announce(t(said, { count: this.history.strokes.length }));
  }

  // Tab: only on strokes, else the focus goes on.
  #suggest() {
    if (this.state !== "drawing" || this.history.strokes.length === 0) return false;
    this.history.suggestOther();
    this.#changed();
    announce(t(this.history.suggestion ? "fix.second" : "fix.first"));
    return true;
  }

  async #preview({ blob, changed, strokes, suggestion }) {
    await this.brush.take(blob, () => this.history.since(strokes));
    if (strokes !== this.history.strokes || suggestion !== this.history.suggestion || this.signal.aborted) return;
    this.brush.setStrokes(strokes, true);
    if (this.state !== "drawing") return;
    if (!changed && strokes.length > 0) this.panel.say(t("fix.nothing"), "warn");
    else this.panel.say(strokes.length === 0 ? t("fix.start") : t(suggestion ? "fix.second" : "fix.looks"));
  }

  #trouble(error) {
    if (error.name === "AbortError" || this.signal.aborted) return;
    if (hadNoAnswer(error)) {
      this.panel.say(t("fix.noAnswer"), "bad");
      clearTimeout(this.later);
      this.later = setTimeout(() => this.#back(), AGAIN_MS);
    } else this.panel.say(has(`error.${error.code}`) || error.text ? errorText(error) : t("fix.failed"), "bad");
    if (error.code === "source_changed") this.#become("lost");
  }

  // Somebody answers again: what had no answer is asked anew, and what was saved may be there.
  #back() {
    if (this.state === "drawing" && this.saver.isSaveUnanswered) return this.#save();
    if (this.state === "drawing" && this.session.behind) this.session.retry();
    if (this.state === "saved" && this.saver.isUndoUnanswered) return this.#undoSaved();
    if (this.saver.follows) this.saver.renew();
  }

  // Saving.

  async #save() {
    if (this.state !== "drawing") return;
    if (!this.history.changed) return announce(t("fix.nothingToSave"));
    this.sent = this.history.correction;
    this.#become("saving");
    this.panel.say(t("fix.saving"));
    try {
      await this.saver.save(this.sent.strokes, this.sent.suggestion);
    } catch (error) {
      await this.#saveFailed(error);
      this.saver.takeHeldBack();
    }
    if (this.state !== "saving" || this.signal.aborted) return;
    this.#tellSaved(laterNote(overview(), this.job.folder));
  }

  async #saveFailed(error) {
    this.#become("drawing");
    if (await this.saver.isReplaced(error)) await this.#startOver();
    else this.#trouble(error);
  }

  // Starts from the cutout as it is now; strokes that are not saved come on top of those that it was made with.
  async #startOver() {
    this.carried = this.history;
    this.session.end();
    this.viewer.composes = true;
    this.brush.setShown(true);
    await this.start();
  }

  #carryOn() {
    const count = this.history.addUnsaved(this.carried);
    this.carried = null;
    if (count > 0) this.draft.keep(this.job.seen, this.history.correction);
    toast(t(count > 0 ? "fix.rebased" : "fix.replaced"), { kind: count > 0 ? "bad" : "info", seconds: 12 });
  }

  #tellSaved(later) {
    this.isCutting = !later;
    if (!later) return this.panel.say(t("fix.cutting"));
    this.#markSaved();
    toast(later);
    if (this.history.changed) this.#become("drawing");
    else this.#toReview();
  }

  #refused(text) {
    this.#become("drawing");
    this.panel.say(said(text), "bad");
  }

  // The cutout as it was written, in place of the preview.
  async #published(undone) {
    try {
      if (undone) await this.#readFormer();
    } catch {
      return this.start();
    }
    this.#markSaved();
    this.#become(this.history.changed ? "drawing" : "saved");
    const entry = await this.pyramids.need(this.job, ["source", "cutout"]);
    if (this.signal.aborted) return;
    this.viewer.composes = this.state === "drawing"; // with the strokes that were drawn meanwhile
    this.viewer.show(entry, { stay: true });
    this.toolbar.after();
    if (this.state !== "saved") return;
    await this.viewer.whenShown(SHOWN_MS); // the preview stays until all tiles of the result are there
    if (this.state !== "saved") return;
    this.brush.setShown(false, entry.pyramids);
    const note = resultNote(this.job, { undone, isApart: this.brush.isApart });
    this.panel.say(note, "good");
    announce(note);
  }

  // The strokes of the former version: it may be any of those that were saved before, also in another tab.
  async #readFormer() {
    this.#become("starting"); // nothing is drawn on what is about to be replaced
    this.history = StrokeHistory.before(await read("correction", { job: this.number }, { signal: this.signal }), this.history);
    this.sent = this.history.correction;
    this.#showStrokes();
  }

  // What was sent is saved; a stroke that ended since stays in the draft.
  #markSaved() {
    this.history.markSaved(this.sent);
    if (this.history.changed) this.draft.keep(this.job.seen, this.history.correction);
    else this.draft.drop();
  }

  async #undoSaved() {
    if (this.saver.undoing && !this.saver.isUndoUnanswered) return;
    this.panel.say(t("fix.undoing"));
    try {
      await this.saver.undo();
    } catch (error) {
      if (await this.saver.isReplaced(error)) await this.#startOver();
      else this.#trouble(error);
      this.saver.takeHeldBack();
    }
  }

  // Drawing goes on after a result was shown.
  #draws() {
    if (this.state !== "saved") return;
    this.viewer.composes = true;
    this.brush.setShown(true);
    this.viewer.update();
    this.panel.say(t("fix.start"));
    this.#become("drawing");
  }

  // Leaving.

  async #leave() {
    if (this.history.changed && this.state === "drawing" && this.asking !== true) {
      this.asking = true;
      const yes = await ask(t("fix.leave"), { yes: t("fix.leaveYes"), detail: t("fix.leaveHow"), danger: true });
      this.asking = false;
      if (!yes) return this.viewer.element.focus({ preventScroll: true });
      this.history.markSaved();
      this.draft.drop();
    }
    if (!this.asking) this.#toReview();
  }

  #toReview() {
    go("/review", { ...reviewFilter.load(), job: this.number });
  }

  #become(state) {
    this.state = state;
    this.isCutting = false; // what was saved has its answer, and cutoutd is at work
    this.saver.follows = state === "saving" || state === "saved";
    this.#draw();
  }

  #draw() {
    this.brush.enabled = this.state === "drawing" || this.state === "saved"; // what is drawn while strokes are saved would count as saved
    this.controls.draw();
    this.panel.drawHistory(this.history, {
      ready: this.state === "drawing" || this.state === "saved",
      saving: this.state === "saving",
      saved: this.state === "saved",
    });
    this.place.dataset.state = this.state;
  }
}
