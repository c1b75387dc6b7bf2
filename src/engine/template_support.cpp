#include "engine/template_support.h"

#include <initializer_list>
#include <string_view>

#include "base/json.h"

namespace rapid {
namespace {

// Plain lower-case words: no template quotes, trims or escapes them.
constexpr std::string_view kCall = "probecall";
constexpr std::string_view kValue = "probevalue";
constexpr std::string_view kSecond = "probesecond";
constexpr std::string_view kResult = "proberesult";
constexpr std::string_view kContent = "probecontent";
constexpr std::string_view kSystem = "probesystem";
constexpr std::string_view kTool = "probetool";

Json message(std::string_view role, std::string_view content) {
  Json out = Json::object();
  out["role"] = role;
  out["content"] = content;
  return out;
}

Json declared(std::string_view name) {
  Json function = Json::object();
  function["name"] = name;
  function["description"] = "A tool.";
  function["parameters"] = {
      {"type", "object"},
      {"properties", {{"key", {{"type", "string"}, {"description", "A key"}}}}},
      {"required", Json::array({"key"})}};
  Json out = Json::object();
  out["type"] = "function";
  out["function"] = std::move(function);
  return out;
}

// Nine letters and digits: some templates take no other id.
Json call(
    std::string_view name,
    std::string_view value,
    const char* id,
    const CallSupport& form) {
  Json arguments = Json::object();
  arguments["key"] = value;
  Json out = Json::object();
  out["id"] = id;
  out["type"] = "function";
  out["function"]["name"] = name;
  out["function"]["arguments"] =
      form.string_arguments ? Json(dump_json(arguments)) : arguments;
  return out;
}

Json result(const char* id, std::string_view name, std::string_view content) {
  Json out = message("tool", content);
  out["tool_call_id"] = id;
  out["name"] = name;
  return out;
}

// Whether all words are in the prompt; what is said comes in this order,
// what is called may stand before what is said.
bool shows(
    const RenderTemplate& render,
    const Json& messages,
    bool tools,
    std::initializer_list<std::string_view> words) {
  TemplateInput input;
  input.messages = messages;
  if (tools) {
    input.tools = Json::array({declared(kTool)});
  }
  const auto prompt = render(input);
  if (!prompt) {
    return false;
  }
  size_t at = 0;
  for (const std::string_view word : words) {
    at = prompt->text.find(word, at);
    if (at == std::string::npos) {
      return false;
    }
  }
  return true;
}

Json calling(const CallSupport& form, bool content, bool two) {
  Json out = message("assistant", content ? kContent : "");
  if (!content && form.null_content) {
    out["content"] = nullptr;
  }
  Json calls = Json::array({call(kCall, kValue, "probe0001", form)});
  if (two) {
    calls.push_back(call(kSecond, "other", "probe0002", form));
  }
  out["tool_calls"] = std::move(calls);
  return out;
}

CallSupport probe_calls(const RenderTemplate& render, bool tools) {
  const Json user = message("user", "question");
  const Json first = result("probe0001", kCall, kResult);
  CallSupport out;
  out.calls = false;
  for (const bool text : {false, true}) {
    for (const bool null : {false, true}) {
      if (out.calls) {
        break;
      }
      CallSupport form = out;
      form.string_arguments = text;
      form.null_content = null;
      const Json chat = Json::array({user, calling(form, false, false), first});
      if (shows(render, chat, tools, {kCall, kValue})) {
        out = form;
        out.calls = true;
      }
    }
  }
  if (!out.calls) {
    return {
        .calls = false,
        .results = false,
        .parallel = false,
        .with_content = false};
  }
  out.results = shows(
      render,
      Json::array({user, calling(out, false, false), first}),
      tools,
      {kResult});
  out.with_content = shows(
                         render,
                         Json::array({user, calling(out, true, false), first}),
                         tools,
                         {kCall, kValue}) &&
                     shows(
                         render,
                         Json::array({user, calling(out, true, false), first}),
                         tools,
                         {kContent});
  if (!out.with_content) {
    out.after_content = shows(
        render,
        Json::array(
            {user,
             message("assistant", kContent),
             calling(out, false, false),
             first}),
        tools,
        {kContent, kCall, kValue});
  }
  out.parallel = shows(
      render,
      Json::array(
          {user,
           calling(out, false, true),
           first,
           result("probe0002", kSecond, "second")}),
      tools,
      {kCall, kValue, kSecond});
  return out;
}

}  // namespace

TemplateSupport probe_template(const RenderTemplate& render) {
  const Json user = message("user", "question");
  TemplateSupport out;
  out.tools = shows(render, Json::array({user}), true, {kTool});
  out.system = shows(
      render,
      Json::array({message("system", kSystem), user}),
      false,
      {kSystem});
  out.systems = shows(
      render,
      Json::array(
          {message("system", kSystem), message("system", kContent), user}),
      false,
      {kSystem, kContent});
  out.late_system = shows(
      render,
      Json::array(
          {user,
           message("assistant", kContent),
           message("system", kSystem),
           user}),
      false,
      {kContent, kSystem});
  out.with_tools = probe_calls(render, true);
  out.without_tools = probe_calls(render, false);
  return out;
}

}  // namespace rapid
