#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "base/home.h"
#include "cli/agent_target.h"
#include "cli/command.h"
#include "cli/interrupts.h"
#include "cli/options.h"
#include "cli/table.h"
#include "hub/http_post.h"
#include "mcp/server.h"
#include "mcp/tool_box.h"

namespace rapid {

namespace {

struct McpOptions {
  std::string action = "list";
  std::string tool;
  std::string arguments = "{}";
  std::string config;
  bool json = false;
  AgentTargetFlags target;
};

Result<McpToolBox> open_box(
    const McpOptions& options, const Interrupts& interrupts) {
  const auto path = mcp_config_path(options.config);
  auto config = read_mcp_config(path);
  if (!config) {
    Error error = config.error();
    if (error.code == ErrorCode::not_found) {
      error.hint =
          R"(write one: {"mcpServers": {"name": {"command": "...", "args": []}}})";
    }
    return error;
  }
  McpToolBox box = McpToolBox::open(
      *config, home_dir() / "logs", [&] { return interrupts.count() == 0; });
  for (const Error& error : box.trouble()) {
    report(error);
  }
  return box;
}

int list(const McpOptions& options) {
  const Interrupts interrupts;
  const auto box = open_box(options, interrupts);
  if (!box) {
    return report(box.error());
  }
  Json out = Json::array();
  Table table({{"TOOL"}, {"ASKS"}, {"WHAT"}});
  for (const chat::Tool& tool : box->tools()) {
    const bool free = box->always_allowed(tool.name);
    const std::string first =
        tool.description.substr(0, tool.description.find('\n'));
    out.push_back(
        {{"name", tool.name},
         {"description", tool.description},
         {"parameters", tool.parameters},
         {"always_allowed", free}});
    table.row({tool.name, free ? "" : "yes", first.substr(0, 60)});
  }
  if (options.json) {
    print_json(out);
  } else {
    fmt::print("{}", table.text());
  }
  return box->trouble().empty() ? kExitDone : kExitFailed;
}

int call(const McpOptions& options) {
  if (options.tool.empty()) {
    return report_usage(
        {.what = "mcp call wants a tool",
         .hint = "rapid-mlx mcp call server__tool '{\"path\": \"/a\"}'"});
  }
  const Interrupts interrupts;
  const auto box = open_box(options, interrupts);
  if (!box) {
    return report(box.error());
  }
  const auto result = box->call(
      options.tool, options.arguments, [&] { return interrupts.count() == 0; });
  if (!result) {
    return report(result.error());
  }
  fmt::print("{}\n", result->text);
  return result->is_error ? kExitFailed : kExitDone;
}

// One question to the server over its own API.
Result<std::string> ask(const AgentTargetFlags& flags, const Json& arguments) {
  RAPID_TRY(const AgentTarget target, answering_target(flags));
  const Json prompt = arguments.value("prompt", Json());
  if (!prompt.is_string()) {
    return Error{ErrorCode::invalid_argument, "\"prompt\" is no text"};
  }
  Json messages = Json::array();
  if (arguments.contains("system")) {
    messages.push_back(
        {{"role", "system"}, {"content", arguments.at("system")}});
  }
  messages.push_back({{"role", "user"}, {"content", prompt}});
  Json body = {
      {"model", arguments.value("model", Json(target.model))},
      {"messages", messages}};
  for (const char* option : {"max_tokens", "temperature"}) {
    if (arguments.contains(option)) {
      body[option] = arguments.at(option);
    }
  }
  HttpPost request{target.v1() + "/chat/completions"};
  request.headers = {
      {"Content-Type", "application/json"},
      {"Authorization", "Bearer " + target.some_key()}};
  request.body = dump_json(body);
  RAPID_TRY(const HttpPostReply reply, http_post(request, {}));
  const auto answer = parse_json(reply.body);
  const Json::json_pointer text("/choices/0/message/content");
  const Json::json_pointer trouble("/error/message");
  if (answer && answer->contains(text) && answer->at(text).is_string()) {
    return answer->at(text).get<std::string>();
  }
  return Error{
      ErrorCode::io,
      answer && answer->contains(trouble)
          ? dump_json(answer->at(trouble))
          : fmt::format("the server answered HTTP {}", reply.status)};
}

Result<std::string> model_list(const AgentTargetFlags& flags) {
  RAPID_TRY(const AgentTarget target, answering_target(flags));
  return fmt::format("{} (context {})", target.model, target.context);
}

int serve(const McpOptions& options) {
  const Json text = {{"type", "string"}};
  const Json chat_schema = {
      {"type", "object"},
      {"properties",
       {{"prompt", text},
        {"system", text},
        {"model", text},
        {"max_tokens", {{"type", "integer"}, {"minimum", 1}}},
        {"temperature", {{"type", "number"}, {"minimum", 0}}}}},
      {"required", Json::array({"prompt"})}};
  const McpServer server(
      "rapid-mlx",
      RAPID_MLX_VERSION,
      {{{"chat",
         "Ask a language model that runs on this machine; nothing leaves it.",
         chat_schema,
         true},
        [&](const Json& arguments) { return ask(options.target, arguments); }},
       {{"models",
         "The model that this machine serves, and its context length.",
         {{"type", "object"}, {"properties", Json::object()}},
         true},
        [&](const Json&) { return model_list(options.target); }}});
  const Status done = server.run(STDIN_FILENO, STDOUT_FILENO);
  return done ? kExitDone : report(done.error());
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<McpOptions>();
  app.add_option(
         "action",
         options->action,
         "list: the tools of the servers in mcp.json; call: one of them; "
         "serve: offer the models here as tools, over stdin and stdout")
      ->option_text("list|call|serve")
      ->check(CLI::IsMember({"list", "call", "serve"}).description(""));
  app.add_option("tool", options->tool, "Which, for call")
      ->option_text("[TOOL]");
  app.add_option("arguments", options->arguments, "A JSON object, for call")
      ->option_text("[JSON]");
  app.add_option(
         "--mcp",
         options->config,
         "Else $RAPID_MLX_MCP_CONFIG or mcp.json in "
         "~/.rapid-mlx")
      ->option_text("FILE");
  options->target.add(app);
  add_json_flag(app, options->json);
  return [options] {
    return options->action == "serve"  ? serve(*options)
           : options->action == "call" ? call(*options)
                                       : list(*options);
  };
}

}  // namespace

void register_command_mcp(CommandTable& table) {
  table.add({
      .name = "mcp",
      .summary = "Tools of MCP servers, and the models here as tools",
      .examples =
          "Examples:\n"
          "  rapid-mlx mcp list\n"
          "  rapid-mlx mcp call files__read '{\"path\": \"/a\"}'\n"
          "  rapid-mlx mcp serve        # a command for another mcp.json\n",
      .order = 43,
      .group = "Agents",
      .configure = configure,
  });
}

}  // namespace rapid
