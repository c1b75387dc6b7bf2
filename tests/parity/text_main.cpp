// The text library over JSON lines, for tools that compare it with the
// reference in Python. One object a line in, one a line out:
//   {"open": path}                        a GGUF vocabulary, timed
//   {"encode": text, "untrusted": [[b, e]...], "add_special": bool}
//   {"decode": [ids]}
//   {"template": source, "input": {...}, "tokens": {...}}
#include <chrono>
#include <iostream>
#include <memory>
#include <string>

#include "base/json.h"
#include "hub/gguf.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace {

using namespace rapid;  // NOLINT: a program of one file

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  std::chrono::duration<double, std::milli> elapsed = Clock::now() - start;
  return elapsed.count();
}

Result<Json> open_model(
    const Json& request, std::shared_ptr<const Tokenizer>& tokenizer) {
  RAPID_TRY(auto file, GgufFile::open(request["open"].get<std::string>()));
  RAPID_TRY(auto vocabulary, file->vocabulary());
  auto start = Clock::now();
  RAPID_TRY(tokenizer, Tokenizer::from_vocabulary(vocabulary));
  return Json{
      {"load_ms", ms_since(start)},
      {"size", tokenizer->size()},
      {"end_tokens", tokenizer->end_tokens()}};
}

Json encode(const Json& request, const Tokenizer& tokenizer) {
  std::vector<TextSpan> spans;
  for (const Json& span : request.value("untrusted", Json::array())) {
    spans.push_back({span[0].get<size_t>(), span[1].get<size_t>()});
  }
  auto text = request["encode"].get<std::string>();
  EncodeOptions options;
  options.add_special = request.value("add_special", false);
  options.untrusted = spans;
  auto start = Clock::now();
  std::vector<int32_t> ids = tokenizer.encode(text, options);
  double elapsed = ms_since(start);
  return {{"ids", ids}, {"ms", elapsed}};
}

Result<Json> render(const Json& request) {
  Json names = request.value("tokens", Json::object());
  TemplateTokens tokens;
  tokens.bos = names.value("bos_token", "");
  tokens.eos = names.value("eos_token", "");
  RAPID_TRY(
      auto chat,
      ChatTemplate::compile(request["template"].get<std::string>(), tokens));
  Json given = request["input"];
  TemplateInput input;
  input.messages = given["messages"];
  input.tools = given.value("tools", Json());
  input.documents = given.value("documents", Json());
  input.add_generation_prompt = given.value("add_generation_prompt", false);
  input.extra = given.value("extra", Json::object());
  auto start = Clock::now();
  RAPID_TRY(auto prompt, chat->render(input));
  double elapsed = ms_since(start);
  Json spans = Json::array();
  for (const TextSpan& span : prompt.user_spans) {
    spans.push_back({span.begin, span.end});
  }
  return Json{{"text", prompt.text}, {"user", spans}, {"ms", elapsed}};
}

Result<Json> answer(
    const Json& request, std::shared_ptr<const Tokenizer>& tokenizer) {
  if (request.contains("open")) {
    return open_model(request, tokenizer);
  }
  if (request.contains("template")) {
    return render(request);
  }
  if (tokenizer == nullptr) {
    return Error{ErrorCode::invalid_argument, "no model is open"};
  }
  if (request.contains("decode")) {
    auto ids = request["decode"].get<std::vector<int32_t>>();
    return Json{{"text", tokenizer->decode(ids)}};
  }
  return encode(request, *tokenizer);
}

}  // namespace

int main() {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string line;
  while (std::getline(std::cin, line)) {
    Result<Json> request = parse_json(line);
    Result<Json> reply = request ? answer(*request, tokenizer) : request;
    Json out = reply ? *reply : Json{{"error", reply.error().what}};
    std::cout << dump_json(out) << "\n" << std::flush;
  }
  return 0;
}
