/* What TextualHeatmap lacks, over its own facets: the colours of the figures, signed and in either scheme; keys,
   touch and a kept selection; probabilities; several targets at one word, and targets at none.

   TextualHeatmap builds the facets and reports the mouse; its highlight() runs first, and what it paints is
   painted over by classes. Strings from the text reach the page as text nodes and attributes only. */
(function () {
  "use strict";

  const page = JSON.parse(document.getElementById("hf_saliency_page").textContent);

  /** The class of a score from -1 to 1, or of one that is no number; the same rule as in facets.py. */
  function shade(score) {
    if (typeof score !== "number") {
      return "missing";
    }
    const step = Math.floor(Math.min(Math.abs(score), 1) * page.levels + 0.5);
    return (score < 0 && step > 0 ? "n" : "p") + step;
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) {
      made.textContent = text;
    }
    return made;
  }

  /** One map of a group: a facet of TextualHeatmap and its rows. */
  class Facet {
    constructor(group, facet, rows) {
      this.group = group;
      this.rows = rows;
      this.spans = facet.heatIndexToNodeElement;
      this.content = facet.content;
      this.meta = facet.meta;
      this.shades = this.spans.map(() => "p0");
      for (const row of rows) {
        row.heat = row.heat || facet.nonFormatData[row.unit].heat;
      }
      this.content.dir = "auto";
      this.content.lang = "";
      this.content.setAttribute("role", "listbox");
      this.content.setAttribute("aria-label", facet.title.textContent || "Text");
      this.line = facet.facet.insertBefore(element("p", "target-line"), this.meta);
      this.choices = facet.facet.insertBefore(element("div", "choices"), this.content);
      facet.onmouseover = (unit) => group.point(unit);
      this.spans.forEach((span, unit) => {
        if (group.selectable[unit]) {
          span.classList.add("selectable");
          span.setAttribute("role", "option");
          span.addEventListener("click", () => group.keep(unit));
          span.addEventListener("keydown", (event) => this.key(event, unit));
        }
      });
    }

    rowsAt(selection) {
      return this.rows.filter((row) => row.unit === selection.unit && row.free === selection.free);
    }

    show(selection, choice) {
      const rows = this.rowsAt(selection);
      const row = rows[choice] || rows[0];
      this.spans.forEach((span, unit) => {
        const score = row ? row.heat[unit] : 0;
        span.classList.remove(this.shades[unit]);
        this.shades[unit] = shade(score);
        span.classList.add(this.shades[unit]);
        span.title = row ? (typeof score === "number" ? this.group.number(score) : score) : "";
        const chosen = unit === selection.unit || Boolean(row && row.own && row.own.includes(unit));
        span.classList.toggle("selected", chosen);
        if (this.group.selectable[unit]) {
          span.setAttribute("aria-selected", String(chosen));
          span.tabIndex = unit === this.group.tabStop(selection) ? 0 : -1;
        }
      });
      this.line.replaceChildren();
      if (row) {
        this.line.append(element("bdi", "label", row.label), element("span", "about", row.about));
      } else {
        this.line.append(element("span", "about", "no target at this word in this map"));
      }
      this.meta.replaceChildren(...(row ? row.predictions : []).map((prediction) => this.item(prediction)));
      this.meta.hidden = this.meta.childElementCount === 0;
      this.offer(rows, row, selection);
      return row;
    }

    item([label, probability, own]) {
      const item = element("div", "meta-content-item");
      item.classList.toggle("own", own);
      item.append(element("bdi", "", label), element("span", "probability", probability));
      return item;
    }

    /** Buttons for the targets of a word of several pieces, or for several scores of one token. */
    offer(rows, shown, selection) {
      this.choices.hidden = rows.length < 2;
      const buttons = rows.length < 2 ? [] : rows.map((row, choice) => {
        const button = element("button", "choice");
        button.type = "button";
        button.append(element("bdi", "", row.label));
        button.setAttribute("aria-pressed", String(row === shown));
        button.addEventListener("click", () => {
          this.group.say([this.show(selection, choice)]);
          this.choices.children[choice].focus();
        });
        return button;
      });
      this.choices.replaceChildren(...buttons);
    }

    key(event, unit) {
      if (event.altKey || event.ctrlKey || event.metaKey) {
        return;
      }
      const back = getComputedStyle(this.content).direction === "rtl" ? "ArrowRight" : "ArrowLeft";
      const there = this.group.selectable.flatMap((yes, i) => (yes ? [i] : []));
      const place = there.indexOf(unit);
      let next;
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        next = there[place + (event.key === back ? -1 : 1)];
      } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
        next = this.lineFrom(unit, event.key === "ArrowUp" ? -1 : 1, there);
      } else if (event.key === "Home" || event.key === "End") {
        next = event.key === "Home" ? there[0] : there[there.length - 1];
      } else if (event.key === "Enter" || event.key === " ") {
        this.group.keep(unit);
      } else if (event.key === "Escape") {
        this.group.release();
      } else {
        return;
      }
      event.preventDefault();
      if (next !== undefined) {
        this.group.move(next);
        this.spans[next].focus();
      }
    }

    /** The word nearest in the line above or below. */
    lineFrom(unit, direction, there) {
      const middle = (i) => {
        const box = this.spans[i].getClientRects()[0] || this.spans[i].getBoundingClientRect();
        return [box.left + box.width / 2, box.top + box.height / 2, box.height];
      };
      const [x, y, height] = middle(unit);
      let best;
      let least = Infinity;
      for (const i of there) {
        const [left, top] = middle(i);
        const lines = (top - y) * direction;
        const distance = Math.round(lines / height) * 1e5 + Math.abs(left - x);
        if (lines > height / 2 && distance < least) {
          [best, least] = [i, distance];
        }
      }
      return best;
    }
  }

  /** Maps of one text, whose facets move together. */
  class Group {
    constructor(data) {
      this.limit = data.limit;
      this.kept = false;
      const rows = data.rows.flat();
      const units = data.facets[0].filter((token) => !token.format).length;
      this.selectable = Array.from({ length: units }, (_, unit) => rows.some((row) => row.unit === unit));
      this.free = Math.max(-1, ...rows.filter((row) => row.unit === null).map((row) => row.free)) + 1;
      window.setupTextualHeatmap(data.settings);
      window.setDataTextualHeatmap(data.settings, data.facets);
      const container = document.getElementById(data.settings.id);
      this.instance = container.instance;
      this.highlight = this.instance.highlight.bind(this.instance);
      this.instance.highlight = (unit) => this.select({ unit: unit, free: null });
      this.facets = this.instance.facets.map((facet, i) => new Facet(this, facet, data.rows[i]));
      this.buttons = this.freeButtons(container, data.rows);
      this.live = container.appendChild(element("p", "unseen"));
      this.live.setAttribute("aria-live", "polite");
      this.select(data.start);
      document.getElementById(data.settings.id + "-static").remove();
      container.hidden = false;
    }

    /** Targets that stand at no word, such as the class of a text. */
    freeButtons(container, rows) {
      const row = element("div", "choices free");
      const buttons = Array.from({ length: this.free }, (_, free) => {
        const button = row.appendChild(element("button", "choice"));
        button.type = "button";
        const labels = rows.flatMap((of) => of.filter((each) => each.free === free).map((each) => each.label));
        button.append(element("bdi", "", [...new Set(labels)].join(" / ")));
        button.addEventListener("click", () => this.move({ unit: null, free: free }));
        return button;
      });
      if (buttons.length > 0) {
        container.prepend(row);
      }
      return buttons;
    }

    number(score) {
      const value = score * this.limit;
      return (Math.abs(value) < 1000 ? value.toPrecision(3) : String(Math.round(value))).replace("-", "\u2212");
    }

    tabStop(selection) {
      return selection.unit === null ? this.selectable.indexOf(true) : selection.unit;
    }

    select(selection) {
      if (selection.unit !== null) {
        this.highlight(selection.unit);
      }
      this.selection = selection;
      this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === selection.free)));
      return this.facets.map((facet) => facet.show(selection, 0));
    }

    point(unit) {
      if (!this.kept && this.selectable[unit]) {
        this.select({ unit: unit, free: null });
      }
    }

    move(where) {
      const selection = typeof where === "number" ? { unit: where, free: null } : where;
      this.mark(this.kept || selection.unit === null);
      this.say(this.select(selection));
    }

    /** A click, a tap or Enter keeps a word, so that the mouse can go and read the others' numbers. */
    keep(unit) {
      const again = this.kept && this.selection.unit === unit;
      this.mark(!again);
      this.say(this.select({ unit: unit, free: null }));
    }

    release() {
      this.mark(false);
    }

    mark(kept) {
      this.kept = kept;
      this.instance.container.classList.toggle("kept", kept);
    }

    say(rows) {
      this.live.textContent = rows.filter((row) => row).map((row) => {
        const answers = row.predictions.map(([label, probability]) => label + " " + probability).join(", ");
        return row.label + ", " + row.about + (answers ? "; predictions " + answers : "");
      }).join("; ");
    }
  }

  page.groups.forEach((data) => new Group(data));
  document.querySelectorAll(".with-script").forEach((hint) => { hint.hidden = false; });
  document.documentElement.dataset.ready = "true";
})();
