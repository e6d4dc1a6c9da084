// What the theme leaves out for keyboards and screen readers.
(() => {
  const label = (selector, name) =>
    document.querySelectorAll(selector).forEach((element) => element.setAttribute("aria-label", name));

  // A box that scrolls can be reached by keyboard; one that does not scroll is no stop.
  const reach = () =>
    document.querySelectorAll("article pre, article .table-wrapper").forEach((box) => {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });

  const start = () => {
    label("aside.sidebar-drawer", "All pages");
    label("aside.toc-drawer", "On this page");
    document.querySelectorAll("p.caption[role=heading]").forEach((each) => each.setAttribute("aria-level", "2"));
    reach();
    window.addEventListener("resize", reach);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
