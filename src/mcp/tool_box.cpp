#include "mcp/tool_box.h"

#include <fmt/format.h>

#include <algorithm>

namespace rapid {

namespace {

constexpr size_t kMostName = 64;
constexpr size_t kMostResult = 32'000;

std::string plain(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' &&
        c != '-') {
      c = '_';
    }
  }
  return out;
}

McpResult failed(std::string why) {
  return {"Error: " + std::move(why), true};
}

// On a border of characters.
std::string shortened(std::string text) {
  if (text.size() <= kMostResult) {
    return text;
  }
  size_t end = kMostResult;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  const size_t whole = text.size();
  text.resize(end);
  return text + fmt::format("\n[cut here: {} of {} bytes]", end, whole);
}

}  // namespace

McpToolBox McpToolBox::open(
    const McpConfig& config,
    const std::filesystem::path& logs,
    const McpClient::KeepGoing& keep_going) {
  std::vector<std::unique_ptr<McpClient>> clients;
  std::vector<Error> trouble = config.left_out;
  for (const McpServerConfig& server : config.servers) {
    auto client = McpClient::start(server, logs, keep_going);
    if (client) {
      clients.push_back(std::move(*client));
    } else {
      trouble.push_back(client.error());
      trouble.back().param = server.name;
    }
  }
  McpToolBox out(std::move(clients));
  out.trouble_ = std::move(trouble);
  return out;
}

McpToolBox::McpToolBox(std::vector<std::unique_ptr<McpClient>> clients)
    : clients_(std::move(clients)) {
  for (const auto& client : clients_) {
    for (const McpTool& tool : client->tools()) {
      std::string name = plain(client->config().name) + "__" + plain(tool.name);
      name.resize(std::min(name.size(), kMostName));
      for (int again = 2; has(name); ++again) {
        const std::string mark = "_" + std::to_string(again);
        name.resize(std::min(name.size(), kMostName - mark.size()));
        name += mark;
      }
      entries_.push_back({std::move(name), client.get(), &tool});
    }
  }
}

std::vector<chat::Tool> McpToolBox::tools() const {
  std::vector<chat::Tool> out;
  for (const Entry& entry : entries_) {
    Json schema = entry.tool->schema;
    if (!schema.contains("type")) {
      schema["type"] = "object";
    }
    if (!schema.contains("properties")) {
      schema["properties"] = Json::object();
    }
    const Json function = {
        {"name", entry.name},
        {"description", entry.tool->description},
        {"parameters", schema}};
    out.push_back(
        {.name = entry.name,
         .description = entry.tool->description,
         .parameters = schema,
         .declaration = {{"type", "function"}, {"function", function}}});
  }
  return out;
}

McpToolBox::Origin McpToolBox::origin(std::string_view name) const {
  const Entry* entry = find(name);
  return entry == nullptr ? Origin{"", std::string(name)}
                          : Origin{
                                entry->client->config().name,
                                entry->tool->name,
                                entry->tool->read_only};
}

bool McpToolBox::always_allowed(std::string_view name) const {
  const Entry* entry = find(name);
  if (entry == nullptr) {
    return false;
  }
  const auto& allowed = entry->client->config().always_allow;
  return std::ranges::find(allowed, entry->tool->name) != allowed.end();
}

Result<McpResult> McpToolBox::call(
    std::string_view name,
    std::string_view arguments,
    const McpClient::KeepGoing& keep_going) const {
  const Entry* entry = find(name);
  if (entry == nullptr) {
    return failed(fmt::format("there is no tool {}", name));
  }
  const auto values = parse_json(arguments.empty() ? "{}" : arguments);
  if (!values || !values->is_object()) {
    return failed("the arguments are not a JSON object");
  }
  auto result = entry->client->call(entry->tool->name, *values, keep_going);
  if (!result) {
    if (result.error().code == ErrorCode::cancelled) {
      return result.error();
    }
    return failed(result.error().what);
  }
  result->text = shortened(std::move(result->text));
  return result;
}

const McpToolBox::Entry* McpToolBox::find(std::string_view name) const {
  const auto found = std::ranges::find(entries_, name, &Entry::name);
  return found == entries_.end() ? nullptr : &*found;
}

}  // namespace rapid
