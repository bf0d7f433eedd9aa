/** What is shown to a browser that is not paired, or that nobody answers. */

import { pair } from "../core/api.js";
import { el, put } from "../core/dom.js";
import { errorText, t } from "../core/text.js";

/** Shows how a browser is paired, and a field for a code or a password; `enter()` starts the page once it is. */
export function showLocked(error, enter) {
  const field = el("input", { id: "code", class: "field", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "code-error" });
  const problem = el("p", { id: "code-error", class: "field-error", role: "alert" }, error?.status && error.status !== 401 ? errorText(error) : "");
  const submit = async (event) => {
    event.preventDefault();
    try {
      await pair({ code: field.value.trim() });
      await enter();
    } catch (again) {
      problem.textContent = errorText(again);
      field.select();
    }
  };
  document.title = "cutoutd";
  put(
    document.getElementById("app"),
    el(
      "main",
      { id: "main", class: "locked" },
      el("img", { src: "/static/icon.svg", alt: "", width: 56, height: 56 }),
      el("h1", {}, t(error?.status === 0 ? "locked.nobody" : "locked.title")),
      el("p", {}, t(error?.status === 0 ? "locked.nobodyHow" : "locked.how")),
      error?.status === 0
        ? el("button", { class: "button primary", on: { click: () => location.reload() } }, t("app.tryAgain"))
        : el("form", { class: "locked-form", on: { submit } }, el("label", { for: "code" }, t("locked.code")), field, problem, el("button", { class: "button primary", type: "submit" }, t("locked.open"))),
    ),
  );
}
