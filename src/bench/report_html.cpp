#include "bench/report_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace rapid {
namespace {

constexpr std::string_view kHead =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>rapid-mlx bench</title>\n<style>\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;"
    "padding:0 1em;color:#222;background:#fff}\n"
    "table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}\n"
    "svg{display:block;margin:.5em 0 1.5em}"
    "pre{background:#f5f5f5;padding:1em;overflow:auto;font-size:12px}\n"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}"
    "pre{background:#262626}td,th{border-color:#444}"
    "svg text{fill:#ddd!important}}\n"
    "</style></head><body>\n";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

struct Bar {
  std::string label;
  double value = 0;
};

// Horizontal bars, the longest as wide as the chart.
std::string chart(
    const std::string& title, const std::string& unit, std::vector<Bar> bars) {
  std::erase_if(bars, [](const Bar& bar) { return bar.value <= 0; });
  if (bars.empty()) {
    return "";
  }
  constexpr int kRow = 24;
  constexpr int kLeft = 270;
  constexpr int kWide = 420;
  const double most = std::ranges::max_element(bars, {}, &Bar::value)->value;
  std::string out = fmt::format(
      "<h3>{}</h3>\n<svg width=\"{}\" height=\"{}\" role=\"img\" "
      "aria-label=\"{}\" font-size=\"13\">\n",
      escaped(title),
      kLeft + kWide + 120,
      kRow * bars.size() + 4,
      escaped(title));
  int y = 2;
  for (const Bar& bar : bars) {
    const int width = std::max(1, static_cast<int>(kWide * bar.value / most));
    out += fmt::format(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>"
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#4477aa\" "
        "rx=\"2\"/><text x=\"{}\" y=\"{}\">{:.1f} {}</text>\n",
        kLeft - 8,
        y + 15,
        escaped(bar.label),
        kLeft,
        y + 2,
        width,
        kRow - 6,
        kLeft + width + 6,
        y + 15,
        bar.value,
        escaped(unit));
    y += kRow;
  }
  return out + "</svg>\n";
}

double number(const Json& from, const char* key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_number() ? found->get<double>() : 0;
}

Json list(const Json& from, const char* key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_array() ? *found : Json::array();
}

std::string engine_charts(const Json& result) {
  std::vector<Bar> prefill, decode, ttft;
  for (const Json& point : list(result, "points")) {
    const std::string label = fmt::format(
        "{} tokens, batch {}", number(point, "prompt"), number(point, "batch"));
    prefill.push_back({label, number(point, "prefill_tps")});
    decode.push_back({label, number(point, "decode_tps")});
    ttft.push_back({label, number(point, "ttft_ms")});
  }
  return chart("Prompt", "tok/s", prefill) + chart("Decode", "tok/s", decode) +
         chart("Time to first token", "ms", ttft);
}

std::string server_charts(const Json& result) {
  std::vector<Bar> ttft, decode, tools, talk;
  for (const Json& server : list(result, "servers")) {
    const std::string name = server.value("name", "");
    for (const Json& speed : list(server, "speed")) {
      const std::string label =
          fmt::format("{}, {} words", name, number(speed, "words"));
      ttft.push_back({label + ", new", number(speed, "cold_ttft_ms")});
      ttft.push_back({label + ", again", number(speed, "warm_ttft_ms")});
      ttft.push_back({label + ", restarted", number(speed, "restart_ttft_ms")});
      decode.push_back({label, number(speed, "decode_tps")});
    }
    if (const Json score = server.value("tools", Json()); score.is_object()) {
      tools.push_back({name, number(score, "success_percent")});
    }
    if (const Json score = server.value("agent", Json()); score.is_object()) {
      talk.push_back({name + ", first turn", number(score, "first_ttft_ms")});
      talk.push_back({name + ", later", number(score, "median_ttft_ms")});
      talk.push_back({name + ", worst", number(score, "worst_ttft_ms")});
    }
  }
  return chart("Time to first token over HTTP", "ms", ttft) +
         chart("Decode over HTTP", "tok/s", decode) +
         chart("Right tool calls", "%", tools) +
         chart("Time to first token of an agent's turns", "ms", talk);
}

}  // namespace

std::string report_html(const Json& result) {
  std::string out(kHead);
  out += fmt::format(
      "<h1>{}</h1>\n<p>rapid-mlx {} on {}, {} threads</p>\n",
      escaped(result.value("model", "")),
      escaped(result.value("version", "")),
      escaped(result.value("device", "?")),
      number(result, "threads"));
  out += engine_charts(result) + server_charts(result);
  out += fmt::format(
      "<h3>All numbers</h3>\n<pre>{}</pre>\n</body></html>\n",
      escaped(result.dump(2, ' ', false, Json::error_handler_t::replace)));
  return out;
}

}  // namespace rapid
