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
struct ProbeIds {
  const char* first = "probe0001";
  const char* second = "probe0002";
};

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

Json calling(
    const CallSupport& form, const ProbeIds& ids, bool content, bool two) {
  Json out = message("assistant", content ? kContent : "");
  if (!content && form.null_content) {
    out["content"] = nullptr;
  }
  Json calls = Json::array({call(kCall, kValue, ids.first, form)});
  if (two) {
    calls.push_back(call(kSecond, "other", ids.second, form));
  }
  out["tool_calls"] = std::move(calls);
  return out;
}

// What the ids must be: whether the template writes functions.NAME:NUMBER of
// its own, or an id and no name in front of the arguments.
CallIds probe_ids(const RenderTemplate& render) {
  const ProbeIds ids;
  CallSupport form;
  for (const bool text : {false, true}) {
    form.string_arguments = text;
    TemplateInput input;
    input.messages = Json::array({message("user", "question")});
    for (const auto& [name, id] :
         {std::pair(kCall, ids.first), std::pair(kSecond, ids.second)}) {
      Json calling = message("assistant", "");
      calling["tool_calls"] = Json::array({call(name, kValue, id, form)});
      input.messages.push_back(std::move(calling));
      input.messages.push_back(result(id, name, kResult));
    }
    const auto prompt = render(input);
    if (!prompt) {
      continue;
    }
    const std::string& shown = prompt->text;
    const size_t id = shown.find(ids.first);
    if (id == std::string::npos) {
      return CallIds::as_sent;
    }
    if (shown.find("functions.probecall:0") != std::string::npos) {
      return shown.find("functions.probesecond:1") != std::string::npos
                 ? CallIds::numbered
                 : CallIds::numbered_in_message;
    }
    const size_t value = shown.find(kValue);
    return id < value && value < shown.find(kCall) ? CallIds::numbered
                                                   : CallIds::as_sent;
  }
  return CallIds::as_sent;
}

CallSupport probe_calls(
    const RenderTemplate& render, bool tools, const ProbeIds& ids) {
  const Json user = message("user", "question");
  const Json first = result(ids.first, kCall, kResult);
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
      const Json chat =
          Json::array({user, calling(form, ids, false, false), first});
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
      Json::array({user, calling(out, ids, false, false), first}),
      tools,
      {kResult});
  out.with_content =
      shows(
          render,
          Json::array({user, calling(out, ids, true, false), first}),
          tools,
          {kCall, kValue}) &&
      shows(
          render,
          Json::array({user, calling(out, ids, true, false), first}),
          tools,
          {kContent});
  if (!out.with_content) {
    out.after_content = shows(
        render,
        Json::array(
            {user,
             message("assistant", kContent),
             calling(out, ids, false, false),
             first}),
        tools,
        {kContent, kCall, kValue});
  }
  out.parallel = shows(
      render,
      Json::array(
          {user,
           calling(out, ids, false, true),
           first,
           result(ids.second, kSecond, "second")}),
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
  out.ids = probe_ids(render);
  ProbeIds ids;
  if (out.ids != CallIds::as_sent) {
    ids = {"functions.probecall:0", "functions.probesecond:1"};
  }
  out.with_tools = probe_calls(render, true, ids);
  out.without_tools = probe_calls(render, false, ids);
  return out;
}

}  // namespace rapid
