#include "examples/digits_sweep/report.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace {

// Shortest text of a number, in no locale.
std::string number(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

std::string fixed(double value, int digits) {
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::fixed, digits)
                       .ptr;
  return {buffer.data(), end};
}

std::string percent(double share, int digits = 1) { return fixed(share * 100, digits); }

std::string padded(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

// Text as XML and HTML show it: nothing in it can end up as markup.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  }
  return out;
}

using Colour = std::array<double, 3>;

std::string css(const Colour& colour) {
  std::string out = "rgb(";
  for (const double part : colour) {
    if (out.back() != '(') out += ',';
    out += std::to_string(static_cast<int>(part + 0.5));
  }
  return out + ')';
}

// From light to dark in one hue: told apart without colour vision, and in print.
Colour colour_at(double share) {
  constexpr std::array<Colour, 5> stops = {
      {{{236, 244, 250}}, {{178, 209, 232}}, {{104, 162, 208}}, {{40, 106, 168}}, {{8, 48, 107}}}};
  const double place = std::clamp(share, 0.0, 1.0) * (stops.size() - 1);
  const auto low = std::min(static_cast<std::size_t>(place), stops.size() - 2);
  Colour mixed{};
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    mixed[i] =
        stops[low][i] + (place - static_cast<double>(low)) * (stops[low + 1][i] - stops[low][i]);
  }
  return mixed;
}

// Relative luminance, as WCAG defines it.
double luminance(const Colour& colour) {
  constexpr Colour weight = {0.2126, 0.7152, 0.0722};
  double sum = 0;
  for (std::size_t i = 0; i < colour.size(); ++i) {
    const double part = colour[i] / 255;
    sum += weight[i] * (part <= 0.04045 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4));
  }
  return sum;
}

// Whichever of white and black stands out more.
const char* ink_on(const Colour& colour) {
  return luminance(colour) > 0.179 ? "#000000" : "#ffffff";
}

struct Range {
  double low;
  double high;
  [[nodiscard]] double share(double value) const {
    return high > low ? (value - low) / (high - low) : 0.5;
  }
};

Range range_of(const Choice& choice) {
  const auto [low, high] = std::minmax_element(choice.accuracies.begin(), choice.accuracies.end());
  return {*low, *high};
}

std::string best_text(const Grid& grid, const Choice& choice) {
  const Point best = points_of(grid)[choice.best];
  return "learning rate " + number(best.learning_rate) + ", l2 " + number(best.l2) + ", " +
         std::to_string(best.epochs) + " epochs";
}

std::string text_at(double x, double y, const std::string& attributes, const std::string& text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" " + attributes + ">" +
         escaped(text) + "</text>\n";
}

std::string box_at(double x, double y, double width, double height, const std::string& attributes) {
  return "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(width) +
         "\" height=\"" + number(height) + "\" " + attributes + "/>\n";
}

// Where things are in the picture, in pixels.
constexpr double kCellWidth = 62;
constexpr double kCellHeight = 40;
constexpr double kGap = 2;
constexpr double kLeft = 84;  // of the first panel: the l2 axis
constexpr double kTop = 124;
constexpr double kPanelGap = 30;
constexpr double kMargin = 24;

class Picture {
 public:
  Picture(const Grid& grid, const Choice& choice)
      : grid_(grid), choice_(choice), range_(range_of(choice)),
        columns_(static_cast<double>(grid.learning_rates.size())),
        rows_(static_cast<double>(grid.l2.size())),
        panels_(static_cast<double>(grid.epochs.size())) {}

  [[nodiscard]] std::string draw() const {
    const double panels_width = panels_ * panel_width() + (panels_ - 1) * kPanelGap;
    const double width = std::max(kLeft + panels_width + kMargin, 620.0);
    const double height = kTop + rows_ * kCellHeight + 120;
    std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" "
                      "aria-labelledby=\"sweep-title sweep-text\" width=\"" +
                      number(width) + "\" height=\"" + number(height) + "\" viewBox=\"0 0 " +
                      number(width) + " " + number(height) +
                      "\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"13\">\n";
    svg += "<title id=\"sweep-title\">Accuracy over the grid</title>\n<desc id=\"sweep-text\">" +
           escaped("Best: " + percent(choice_.accuracy, 2) + " % at " + best_text(grid_, choice_)) +
           "</desc>\n";
    svg += box_at(0, 0, width, height, "fill=\"#ffffff\"");
    svg += heading();
    for (std::size_t panel = 0; panel < grid_.epochs.size(); ++panel) svg += draw_panel(panel);
    svg += legend(height - 54);
    return svg + "</svg>\n";
  }

 private:
  [[nodiscard]] double panel_width() const { return columns_ * kCellWidth; }

  [[nodiscard]] std::string heading() const {
    return text_at(kMargin, 38, "font-size=\"20\" font-weight=\"600\" fill=\"#10202e\"",
                   "Handwritten digits: accuracy on images not trained on, per cent") +
           text_at(kMargin, 62, "fill=\"#44566a\"",
                   std::to_string(grid_.folds) + "-fold cross-validation; best " +
                       percent(choice_.accuracy, 2) + " % at " + best_text(grid_, choice_));
  }

  [[nodiscard]] std::string draw_panel(std::size_t panel) const {
    const double left = kLeft + static_cast<double>(panel) * (panel_width() + kPanelGap);
    const double bottom = kTop + rows_ * kCellHeight;
    std::string svg = text_at(left + panel_width() / 2, kTop - 16,
                              "text-anchor=\"middle\" font-weight=\"600\" fill=\"#10202e\"",
                              std::to_string(grid_.epochs[panel]) + " epochs");
    for (std::size_t row = 0; row < grid_.l2.size(); ++row) {
      const double y = kTop + static_cast<double>(row) * kCellHeight;
      if (panel == 0) {
        svg += text_at(left - 10, y + kCellHeight / 2 + 4, "text-anchor=\"end\" fill=\"#44566a\"",
                       number(grid_.l2[row]));
      }
      for (std::size_t column = 0; column < grid_.learning_rates.size(); ++column) {
        const double x = left + static_cast<double>(column) * kCellWidth;
        svg +=
            draw_cell(x, y, (panel * grid_.l2.size() + row) * grid_.learning_rates.size() + column);
      }
    }
    for (std::size_t column = 0; column < grid_.learning_rates.size(); ++column) {
      svg +=
          text_at(left + (static_cast<double>(column) + 0.5) * kCellWidth, bottom + 18,
                  "text-anchor=\"middle\" fill=\"#44566a\"", number(grid_.learning_rates[column]));
    }
    svg += text_at(left + panel_width() / 2, bottom + 38, "text-anchor=\"middle\" fill=\"#44566a\"",
                   "learning rate");
    if (panel == 0) {
      svg += text_at(left - 10, kTop - 16, "text-anchor=\"end\" fill=\"#44566a\"", "l2");
    }
    return svg;
  }

  [[nodiscard]] std::string draw_cell(double x, double y, std::size_t point) const {
    const double accuracy = choice_.accuracies[point];
    const Colour colour = colour_at(range_.share(accuracy));
    const bool best = point == choice_.best;
    std::string attributes = "rx=\"3\" fill=\"" + css(colour) + "\"";
    if (best) attributes += " stroke=\"#d9480f\" stroke-width=\"3\"";
    std::string ink = std::string("text-anchor=\"middle\" fill=\"") + ink_on(colour) + "\"";
    if (best) ink += " font-weight=\"700\"";
    return box_at(x + kGap / 2, y + kGap / 2, kCellWidth - kGap, kCellHeight - kGap, attributes) +
           text_at(x + kCellWidth / 2, y + kCellHeight / 2 + 4.5, ink, percent(accuracy));
  }

  [[nodiscard]] std::string legend(double y) const {
    constexpr int kSteps = 40;
    constexpr double kStep = 5;
    std::string svg =
        text_at(kLeft - 10, y + 11, "text-anchor=\"end\" fill=\"#44566a\"", percent(range_.low));
    for (int i = 0; i < kSteps; ++i) {
      svg += box_at(kLeft + i * kStep, y, kStep + 0.5, 14,
                    "fill=\"" + css(colour_at((i + 0.5) / kSteps)) + "\"");
    }
    const double end = kLeft + kSteps * kStep;
    svg += text_at(end + 10, y + 11, "fill=\"#44566a\"", percent(range_.high));
    svg += box_at(end + 70, y - 1, 22, 16,
                  "rx=\"3\" fill=\"none\" stroke=\"#d9480f\" stroke-width=\"3\"");
    return svg + text_at(end + 100, y + 11, "fill=\"#44566a\"", "the best");
  }

  const Grid& grid_;
  const Choice& choice_;
  const Range range_;
  const double columns_;
  const double rows_;
  const double panels_;
};

std::string html_table(const Grid& grid, const Choice& choice) {
  std::string html = "<table>\n<caption>Accuracy in per cent</caption>\n<thead><tr>"
                     "<th scope=\"col\">epochs</th><th scope=\"col\">l2</th>";
  for (const double rate : grid.learning_rates) {
    html += "<th scope=\"col\">rate " + number(rate) + "</th>";
  }
  html += "</tr></thead>\n<tbody>\n";
  std::size_t point = 0;
  for (const int epochs : grid.epochs) {
    for (const double l2 : grid.l2) {
      html += "<tr><td>" + std::to_string(epochs) + "</td><td>" + number(l2) + "</td>";
      for (std::size_t i = 0; i < grid.learning_rates.size(); ++i, ++point) {
        const std::string text = percent(choice.accuracies[point], 2);
        html += point == choice.best ? "<td class=\"best\">" + text + " (best)</td>"
                                     : "<td>" + text + "</td>";
      }
      html += "</tr>\n";
    }
  }
  return html + "</tbody></table>\n";
}

}  // namespace

std::string text_table(const Grid& grid, const Choice& choice) {
  std::string text;
  std::size_t point = 0;
  for (const int epochs : grid.epochs) {
    text += padded(std::to_string(epochs), 5) + " epochs   learning rate\n" + padded("l2", 10);
    for (const double rate : grid.learning_rates) text += padded(number(rate), 9);
    text += '\n';
    for (const double l2 : grid.l2) {
      text += padded(number(l2), 10);
      for (std::size_t i = 0; i < grid.learning_rates.size(); ++i, ++point) {
        text += padded(percent(choice.accuracies[point], 2), 8);
        text += point == choice.best ? '*' : ' ';
      }
      text += '\n';
    }
    text += '\n';
  }
  return text + "* best: " + best_text(grid, choice) + "\n";
}

std::string svg_picture(const Grid& grid, const Choice& choice) {
  return Picture(grid, choice).draw();
}

std::string html_page(const Grid& grid, const Choice& choice) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" "
         "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
         "<meta name=\"viewport\" content=\"width=device-width\">\n"
         "<title>digits_sweep</title>\n<style>\n"
         "body { font: 15px/1.5 system-ui, sans-serif; color: #10202e; background: #fff;"
         " margin: 2em auto; max-width: 62em; padding: 0 1em }\n"
         "figure { margin: 0; overflow-x: auto }\n"
         "table { border-collapse: collapse; font-variant-numeric: tabular-nums }\n"
         "caption { text-align: left; font-weight: 600; padding: .5em 0 }\n"
         "th, td { text-align: right; padding: .2em .8em; border-bottom: 1px solid #d5dde5 }\n"
         ".best { font-weight: 700; color: #b23a08 }\n</style>\n</head>\n<body>\n<main>\n"
         "<h1>digits_sweep</h1>\n<p>" +
         escaped(grid.data) + ", " + std::to_string(choice.accuracies.size()) + " settings, " +
         std::to_string(grid.folds) + " folds. The best setting, " +
         escaped(best_text(grid, choice)) + ", recognises <strong>" + percent(choice.accuracy, 2) +
         " %</strong>. Choosing for each fold by the other folds only, which does not flatter: "
         "<strong>" +
         percent(choice.honest_accuracy, 2) + " %</strong>.</p>\n<figure>\n" +
         svg_picture(grid, choice) + "</figure>\n" + html_table(grid, choice) +
         "</main>\n</body>\n</html>\n";
}
