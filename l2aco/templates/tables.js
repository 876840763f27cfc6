// Tables sort by a press on a column's head: numbers from the highest, words from the first. Without this all is there.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numeric;
      const rows = [...body.rows].sort((one, other) => {
        const [a, b] = [one.cells[column], other.cells[column]];
        const order = numeric
          ? Number(a.dataset.key.replace("inf", "Infinity")) - Number(b.dataset.key.replace("inf", "Infinity"))
          : a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
        return down ? -order : order;
      });
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...rows);
    });
  });
}
addEventListener("beforeprint", () => { for (const more of document.querySelectorAll("details")) more.open = true; });
