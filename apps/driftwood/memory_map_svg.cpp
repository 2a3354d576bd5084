#include <fmt/format.h>

#include <algorithm>

#include "memory_map.hpp"

namespace driftwood::cli {
namespace {

constexpr std::size_t kColumns = 64;
constexpr std::size_t kMostCells = 4096;
constexpr double kPitch = 13;  // from one cell to the next
constexpr double kCell = 11.5;
constexpr double kLeft = 86;
constexpr double kTop = 92;

constexpr const char* kOwn = "#0f766e";
constexpr const char* kShared = "#7dc4bb";
constexpr const char* kZero = "#eceff1";
constexpr const char* kContext = "#c2410c";
constexpr const char* kRows = "#fb923c";

const char* fill_of(ChunkKind kind) {
  switch (kind) {
    case ChunkKind::own: return kOwn;
    case ChunkKind::shared: return kShared;
    case ChunkKind::zero: return kZero;
  }
  return kZero;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

/// Cells of the drawing, and the bytes that each stands for.
struct Grid {
  std::vector<ChunkKind> cells;
  std::size_t bytes_per_cell;

  std::size_t rows() const { return (cells.size() + kColumns - 1) / kColumns; }
  static double x(std::size_t cell) { return kLeft + static_cast<double>(cell % kColumns) * kPitch; }
  static double y(std::size_t cell) { return kTop + static_cast<double>(cell / kColumns) * kPitch; }
};

Grid make_grid(const MemoryMap& map) {
  const std::size_t each = std::max<std::size_t>(1, (map.chunks.size() + kMostCells - 1) / kMostCells);
  Grid grid{{}, each * kMapChunk};
  for (std::size_t i = 0; i < map.chunks.size(); i += each) {
    const auto begin = map.chunks.begin() + static_cast<std::ptrdiff_t>(i);
    const auto end = map.chunks.begin() + static_cast<std::ptrdiff_t>(std::min(i + each, map.chunks.size()));
    grid.cells.push_back(*std::max_element(begin, end));  // own before shared before zero
  }
  return grid;
}

/// A line around the cells from `first` to `last`, row by row where they fill several.
std::string frame(std::size_t first, std::size_t last) {
  const double pad = (kPitch - kCell) / 2;
  const auto left = [](std::size_t cell) { return Grid::x(cell); };
  const std::size_t first_row = first / kColumns;
  const std::size_t last_row = last / kColumns;
  const double x0 = kLeft - pad;
  const double x1 = kLeft + static_cast<double>(kColumns) * kPitch - pad;
  const double begin = left(first) - pad;
  const double end = left(last) + kPitch - pad;
  const double top = Grid::y(first) - pad;
  const double bottom = Grid::y(last) + kPitch - pad;
  std::string path;
  if (first_row == last_row) {
    path = fmt::format("M{} {}H{}V{}H{}Z", begin, top, end, bottom, begin);
  } else {
    path = fmt::format("M{} {}H{}V{}H{}V{}H{}V{}H{}Z", begin, top, x1, bottom - kPitch, end, bottom, x0, top + kPitch,
                       begin);
  }
  return fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", path, kContext);
}

std::string draw_cells(const Grid& grid) {
  std::string out;
  for (std::size_t i = 0; i < grid.cells.size(); ++i) {
    out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"2\" fill=\"{}\"/>\n", Grid::x(i),
                       Grid::y(i), kCell, kCell, fill_of(grid.cells[i]));
  }
  const std::size_t step = std::max<std::size_t>(1, grid.rows() / 12);
  for (std::size_t row = 0; row < grid.rows(); row += step) {
    out += fmt::format("<text x=\"{}\" y=\"{}\" class=\"axis\" text-anchor=\"end\">{}</text>\n", kLeft - 10,
                       Grid::y(row * kColumns) + kCell - 2, format_bytes(row * kColumns * grid.bytes_per_cell));
  }
  return out;
}

std::string draw_contexts(const Grid& grid, std::span<const FoundContext> contexts) {
  std::string out;
  std::vector<bool> dotted(grid.cells.size());  // Contexts of a hostile memory may all lie in one place
  for (const FoundContext& context : contexts) {
    const std::size_t first = context.offset / grid.bytes_per_cell;
    const std::size_t last = (context.offset + context.bytes - 1) / grid.bytes_per_cell;
    const std::size_t last_used = (context.offset + context.used_bytes - 1) / grid.bytes_per_cell;
    if (last >= grid.cells.size()) continue;
    for (std::size_t i = first; i <= last_used; ++i) {
      if (dotted[i]) continue;
      dotted[i] = true;
      out += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"2.6\" fill=\"{}\"/>\n", Grid::x(i) + kCell / 2,
                         Grid::y(i) + kCell / 2, kRows);
    }
    out += frame(first, last);
  }
  return out;
}

std::string swatch(double x, double y, const char* fill, const std::string& label, const char* extra = "") {
  return fmt::format(
      "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"14\" rx=\"3\" fill=\"{}\" {}/>"
      "<text x=\"{}\" y=\"{}\" class=\"legend\">{}</text>\n",
      x, y, fill, extra, x + 22, y + 12, escaped(label));
}

std::string amount(std::size_t chunks) { return fmt::format("{} ({})", format_bytes(chunks * kMapChunk), chunks); }

}  // namespace

std::string draw_memory_map(const MemoryMap& map, std::span<const FoundContext> contexts, const MapCaption& caption) {
  const Grid grid = make_grid(map);
  const double legend = kTop + static_cast<double>(grid.rows()) * kPitch + 22;
  const double width = kLeft + static_cast<double>(kColumns) * kPitch + 34;
  const double height = legend + 62 + 22 * static_cast<double>(contexts.size());
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"system-ui, 'Helvetica Neue', Arial, sans-serif\">\n"
      "<style>.title{{font-size:22px;font-weight:600;fill:#1f2937}}.sub{{font-size:13px;fill:#6b7280}}"
      ".axis{{font-size:11px;fill:#6b7280}}.legend{{font-size:13px;fill:#374151}}</style>\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n"
      "<text x=\"{2}\" y=\"40\" class=\"title\">{3}</text>\n<text x=\"{2}\" y=\"64\" class=\"sub\">{4}</text>\n",
      width, height, kLeft, escaped(caption.title), escaped(caption.subtitle));
  svg += draw_cells(grid);
  svg += draw_contexts(grid, contexts);
  svg += swatch(kLeft, legend, kOwn,
                (caption.has_parent ? "changed since the parent: " : "own: ") + amount(map.count(ChunkKind::own)));
  svg += swatch(kLeft + 290, legend, kShared, "shared with the parent: " + amount(map.count(ChunkKind::shared)));
  svg += swatch(kLeft + 580, legend, kZero, "zero, not stored: " + amount(map.count(ChunkKind::zero)));
  double line = legend + 24;
  for (const FoundContext& context : contexts) {
    svg += swatch(
        kLeft, line, "#ffffff",
        fmt::format("Context at {:#x}: {} of {} tokens, {}{}; dots: the rows in use", context.offset, context.n_tokens,
                    context.n_ctx, context.kv_type, context.model_name.empty() ? "" : ", of " + context.model_name),
        "stroke=\"#c2410c\" stroke-width=\"2\"");
    line += 22;
  }
  svg += fmt::format(
      "<text x=\"{}\" y=\"{}\" class=\"axis\">A cell is {} of linear memory, read from left to right.</text>\n", kLeft,
      line + 14, grid.bytes_per_cell == kMapChunk ? "64 KiB" : format_bytes(grid.bytes_per_cell));
  return svg + "</svg>\n";
}

}  // namespace driftwood::cli
