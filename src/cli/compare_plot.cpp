// SPDX-License-Identifier: GPL-2.0-or-later
//
// Three panels of horizontal bars with one row a way: the longest pause and the time of the
// transition, both on a logarithmic scale, as they differ by orders of magnitude, and the tasks
// left behind.
#include "cli/compare_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace suture::cli {

namespace {

constexpr double row_height = 30, label_width = 90, panel_width = 250, panel_gap = 40, top = 80;
constexpr double bar_width = 170;  // the longest bar; its figure stands behind it

std::string svg_escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    out += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  }
  return out;
}

std::string text_at(double x, double y, const std::string& text, const char* kind) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\">{}</text>\n", x, y, kind,
                     svg_escaped(text));
}

// Of a value on a logarithmic scale that begins at `from`.
double log_length(double value, double from, double to) {
  if (value <= from || to <= from) {
    return 1;
  }
  return std::max(1.0, bar_width * std::log10(value / from) / std::log10(to / from));
}

std::string time_text(double seconds) {
  return seconds < 1e-3 ? fmt::format("{:.0f} µs", seconds * 1e6)
         : seconds < 1  ? fmt::format("{:.1f} ms", seconds * 1e3)
                        : fmt::format("{:.1f} s", seconds);
}

std::string bar(double x, double row, double length, const std::string& figure) {
  const double y = top + row * row_height;
  return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n", x, y,
                     length, row_height - 12) +
         text_at(x + length + 5, y + 14, figure, "figure");
}

std::string left_text(const compare::ComparedWay& way) {
  if (!way.refusal.empty()) {
    return fmt::format("refused after {:.1f} s", way.refused_after);
  }
  std::string out;
  for (const compare::Laggards& laggards : way.left) {
    out +=
        fmt::format("{}{} at {:.0f} s", out.empty() ? "" : ", ", laggards.tasks, laggards.seconds);
  }
  return out.empty() ? "-" : out;
}

}  // namespace

std::string compare_plot(const std::vector<compare::ComparedWay>& ways, const std::string& title) {
  const double width = label_width + 3 * (panel_width + panel_gap);
  const double height = top + static_cast<double>(ways.size()) * row_height + 20;
  const double first = label_width, second = first + panel_width + panel_gap,
               third = second + panel_width + panel_gap;
  double longest_pause = 0, longest_transition = 0;
  for (const compare::ComparedWay& way : ways) {
    longest_pause = std::max(longest_pause, way.pause);
    longest_transition = std::max(longest_transition, way.transition);
  }
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\">\n"
      "<style>text{{font-family:sans-serif;font-size:13px;fill:#222}}"
      ".title{{font-size:16px;font-weight:bold}}.head{{font-weight:bold}}"
      ".figure{{font-size:12px}}rect{{fill:#4477aa}}.paper{{fill:#fff}}</style>\n"
      "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
      width, height);
  out += text_at(10, 26, title, "title");
  out += text_at(first, 60, "longest pause (log scale)", "head");
  out += text_at(second, 60, "until all have switched (log scale)", "head");
  out += text_at(third, 60, "tasks left, a reader asleep in the function", "head");
  for (std::size_t i = 0; i < ways.size(); ++i) {
    const compare::ComparedWay& way = ways[i];
    const auto row = static_cast<double>(i);
    out += text_at(10, top + row * row_height + 14, way.name, "head");
    out += bar(first, row, log_length(way.pause, 10e-6, longest_pause), time_text(way.pause));
    if (way.name == "nothing") {
      continue;
    }
    out += bar(second, row, log_length(way.transition, 1e-3, longest_transition),
               time_text(way.transition));
    out += text_at(third, top + row * row_height + 14, left_text(way), "figure");
  }
  return out + "</svg>\n";
}

}  // namespace suture::cli
