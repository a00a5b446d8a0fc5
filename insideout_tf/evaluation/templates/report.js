"use strict";
// A click on a heading of a sortable table orders its rows; a second click turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.classList.contains("plain")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const read = (row) => {
      const cell = row.cells[column];
      const text = (cell.dataset.value || cell.innerText).trim();
      const number = Number.parseFloat(text.replace(/,/g, ""));
      return head.classList.contains("number") ? (Number.isNaN(number) ? -Infinity : number) : text;
    };
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") === "descending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map((row) => [read(row), row]);
      rows.sort(([a], [b]) => {
        const order = typeof a === "number" ? a - b : a.localeCompare(b);
        return rising ? order : -order;
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
