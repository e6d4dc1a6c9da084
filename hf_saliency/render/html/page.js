/* What TextualHeatmap lacks, over its own facets: the colours of the figures, signed and in either scheme; keys,
   touch and a kept selection; probabilities; several targets at one word, and targets at none.

   TextualHeatmap builds the facets and reports the mouse; its highlight() runs first, and what it paints is
   painted over by classes. Strings from the text reach the page as text nodes and attributes only. */
(function () {
  "use strict";

  const page = JSON.parse(document.getElementById("hf_saliency_page").textContent);

  /** A token of signs for white space alone; the same rule as in document.py. */
  const signs = /^[↵⇥\s]*[↵⇥][↵⇥\s]*$/;

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
      this.name = facet.title.textContent.trim();
      this.content.setAttribute("aria-label", this.name || "Text");
      if (this.name) {
        facet.title.setAttribute("role", "heading");
        facet.title.setAttribute("aria-level", "2");
      }
      this.line = facet.facet.insertBefore(element("p", "target-line"), this.meta);
      this.choices = facet.facet.insertBefore(element("div", "choices"), this.content);
      this.values = facet.facet.appendChild(element("p", "values"));
      this.meta.hidden = rows.every((row) => row.predictions.length === 0);
      facet.onmouseover = (unit) => group.point(unit);
      this.spans.forEach((span, unit) => {
        span.classList.toggle("sign", signs.test(span.textContent));
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
      this.values.replaceChildren(...(row ? this.strongest(row) : []).map(([label, value]) => {
        const part = element("span", "value");
        part.append(element("bdi", "", label), element("span", "probability", value));
        return part;
      }));
      this.offer(rows, row, selection);
      return row;
    }

    item([label, probability, own]) {
      const item = element("div", "meta-content-item");
      item.classList.toggle("own", own);
      item.append(element("bdi", "", label), element("span", "probability", probability));
      return item;
    }

    /** The words of largest magnitude but the target's own, with their numbers. */
    strongest(row) {
      const mine = row.own || [row.unit];
      return row.heat
        .map((score, unit) => [unit, score])
        .filter(([unit, score]) => typeof score === "number" && score !== 0 && !mine.includes(unit))
        .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]) || a[0] - b[0])
        .slice(0, 3)
        .map(([unit, score]) => [this.spans[unit].textContent.trim(), this.group.number(score)]);
    }

    /** Room for the predictions of every target, so that the text below does not jump from word to word. */
    reserve() {
      const size = (row) => row.predictions.reduce((sum, [label]) => sum + label.length + 8, 0);
      const longest = [...this.rows].sort((a, b) => size(b) - size(a)).slice(0, 4);
      const shown = [...this.meta.childNodes];
      this.meta.style.minHeight = "";
      let height = 0;
      for (const row of longest) {
        this.meta.replaceChildren(...row.predictions.map((prediction) => this.item(prediction)));
        height = Math.max(height, this.meta.offsetHeight);
      }
      this.meta.style.minHeight = height + "px";
      this.meta.replaceChildren(...shown);
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
      this.reserve();
      window.addEventListener("resize", () => this.reserve());
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

    reserve() {
      this.facets.forEach((facet) => facet.reserve());
    }

    /** Go to the target that the address names, "page.html#word" or its number; whether there is one. */
    open(name) {
      const rows = this.facets[0].rows;
      const row = rows.find((each) => each.label.trim() === name) || rows[/^[0-9]+$/.test(name) ? Number(name) : -1];
      if (row) {
        this.mark(true);
        this.say(this.select({ unit: row.unit, free: row.free }));
      }
      return Boolean(row);
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
      const rows = this.select({ unit: unit, free: null });
      this.say(rows);
      const row = rows.find((each) => each);
      try {
        history.replaceState(null, "", again || !row ? "#" : "#" + encodeURIComponent(row.label.trim()));
      } catch (error) {
        // A page in a sandboxed frame has no address of its own.
      }
    }

    release() {
      this.mark(false);
    }

    mark(kept) {
      this.kept = kept;
      this.instance.container.classList.toggle("kept", kept);
    }

    say(rows) {
      const list = (pairs) => pairs.map(([label, value]) => label + " " + value).join(", ");
      this.live.textContent = rows.map((row, i) => [row, this.facets[i]]).filter(([row]) => row).map(([row, facet]) => {
        const name = facet.name ? facet.name + ": " : "";
        const answers = row.predictions.length ? "; predictions " + list(row.predictions) : "";
        const values = facet.strongest(row);
        return name + row.label + ", " + row.about + answers + (values.length ? "; depends most on " + list(values) : "");
      }).join(". ");
    }
  }

  const groups = page.groups.map((data) => new Group(data));
  function follow() {
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch (error) {
      // As it is.
    }
    if (name) {
      groups.some((group) => group.open(name));
    }
  }
  window.addEventListener("hashchange", follow);
  follow();
  document.querySelectorAll(".with-script").forEach((hint) => { hint.hidden = false; });
  document.documentElement.dataset.ready = "true";
})();
