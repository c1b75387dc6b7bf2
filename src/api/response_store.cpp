#include "api/response_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <random>
#include <set>
#include <stdexcept>
#include <utility>

#include "api/openapi.h"
#include "base/log.h"
#include "cache/database.h"
#include "cache/write_behind.h"
#include "hub/file_writer.h"

namespace rapid {

namespace {

constexpr int kVersion = 1;
constexpr const char* kSchema =
    "CREATE TABLE responses(id TEXT PRIMARY KEY, owner TEXT, previous TEXT,"
    " used INTEGER, response TEXT, input TEXT) WITHOUT ROWID;"
    "CREATE INDEX responses_by_use ON responses(used)";

std::optional<StoredResponse> with_texts(
    StoredResponse row, const std::string& response, const std::string& input) {
  auto answered = parse_json(response, INT_MAX);
  auto asked = parse_json(input, INT_MAX);
  if (!answered || !asked) {
    return std::nullopt;
  }
  row.response = *std::move(answered);
  row.input = *std::move(asked);
  return row;
}

void warn(const Error& error) {
  spdlog::warn("a response is not kept: {}", error.what);
}

}  // namespace

// All but `writes` under the store's mutex.
struct ResponseStore::Table {
  explicit Table(Database database) : db(std::move(database)) {}

  static Result<std::unique_ptr<Table>> open(
      const std::filesystem::path& path) {
    if (path != ":memory:") {
      RAPID_CHECK(make_folder(path.parent_path()));
    }
    RAPID_TRY(auto db, Database::open(path, kSchema, kVersion));
    auto table = std::make_unique<Table>(std::move(db));
    if (path != ":memory:") {  // conversations are nobody else's business
      std::error_code ignored;
      std::filesystem::permissions(
          path,
          std::filesystem::perms::owner_read |
              std::filesystem::perms::owner_write,
          ignored);
    }
    Statement ask(
        table->db,
        "SELECT ifnull(sum(length(CAST(response AS BLOB)) +"
        " length(CAST(input AS BLOB))), 0), ifnull(max(used), 0)"
        " FROM responses");
    RAPID_TRY(const bool row, ask.step());
    table->bytes = row ? static_cast<uint64_t>(ask.integer(0)) : 0;
    table->clock = row ? ask.integer(1) : 0;
    return table;
  }

  Status insert(
      const StoredResponse& row,
      const std::string& response,
      const std::string& input) {
    Statement put(
        db, "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?)");
    put.bind(row.id).bind(row.owner).bind(row.previous).bind(++clock);
    RAPID_CHECK(put.bind(response).bind(input).run());
    bytes += response.size() + input.size();
    return {};
  }

  // Until `most` bytes are left, but never the one written last.
  Status make_room(uint64_t most) {
    while (bytes > most) {
      Statement oldest(
          db,
          "SELECT id, length(CAST(response AS BLOB)) +"
          " length(CAST(input AS BLOB)) FROM responses"
          " WHERE used < ? ORDER BY used LIMIT 1");
      oldest.bind(clock);
      RAPID_TRY(const bool row, oldest.step());
      if (!row) {
        return {};
      }
      const std::string id = oldest.text(0);
      const auto size = static_cast<uint64_t>(oldest.integer(1));
      oldest.reset();
      Statement drop(db, "DELETE FROM responses WHERE id = ?");
      RAPID_CHECK(drop.bind(id).run());
      bytes -= std::min(bytes, size);
    }
    return {};
  }

  std::optional<StoredResponse> find(
      const std::string& id, const std::string& owner) {
    Statement ask(
        db,
        "SELECT previous, response, input FROM responses"
        " WHERE id = ? AND owner = ?");
    ask.bind(id).bind(owner);
    const auto row = ask.step();
    if (!row || !*row) {
      return std::nullopt;
    }
    return with_texts(
        {.id = id, .owner = owner, .previous = ask.text(0)},
        ask.text(1),
        ask.text(2));
  }

  void touch(const std::string& id) {
    Statement mark(db, "UPDATE responses SET used = ? WHERE id = ?");
    if (const auto done = mark.bind(++clock).bind(id).run(); !done) {
      warn(done.error());
    }
  }

  Database db;
  uint64_t bytes = 0;  // of JSON texts
  int64_t clock = 0;
  WriteBehind writes;  // ends before the database does
};

ResponseStore::ResponseStore(std::unique_ptr<Table> table, uint64_t byte_cap)
    : table_(std::move(table)), byte_cap_(byte_cap) {}

// What waits is written while all of this is still there.
ResponseStore::~ResponseStore() {
  table_->writes.wait();
}

std::shared_ptr<ResponseStore> ResponseStore::open(
    const std::filesystem::path& path, uint64_t byte_cap) {
  auto table = Table::open(path);
  if (!table) {
    warn(table.error());
    return in_memory(byte_cap);
  }
  return std::shared_ptr<ResponseStore>(
      new ResponseStore(*std::move(table), byte_cap));
}

std::shared_ptr<ResponseStore> ResponseStore::in_memory(uint64_t byte_cap) {
  auto table = Table::open(":memory:");
  if (!table) {
    throw std::runtime_error(table.error().what);
  }
  return std::shared_ptr<ResponseStore>(
      new ResponseStore(*std::move(table), byte_cap));
}

std::string ResponseStore::new_id() {
  static_assert(kIdSize == 32);
  thread_local std::random_device device;
  std::string id = "resp_";
  for (int i = 0; i < 4; ++i) {
    id += fmt::format("{:08x}", device());
  }
  return id;
}

std::string ResponseStore::item_id(
    std::string_view kind, std::string_view response_id, std::string number) {
  const size_t mark = response_id.find('_') + 1;
  return fmt::format("{}_{}_{}", kind, response_id.substr(mark), number);
}

void ResponseStore::put(const StoredResponse& response) {
  {
    std::lock_guard lock(mutex_);
    running_.erase(response.id);
  }
  table_->writes.push([this, response] {
    const std::string answered = dump_json(response.response);
    const std::string asked = dump_json(response.input);
    std::lock_guard lock(mutex_);
    auto done = table_->insert(response, answered, asked);
    if (done) {
      done = table_->make_room(byte_cap_);
    }
    if (!done) {
      warn(done.error());
    }
  });
}

std::optional<StoredResponse> ResponseStore::get(
    const std::string& id, const std::string& owner) {
  table_->writes.wait();
  std::lock_guard lock(mutex_);
  return table_->find(id, owner);
}

bool ResponseStore::erase(const std::string& id, const std::string& owner) {
  table_->writes.wait();
  std::lock_guard lock(mutex_);
  const auto found = table_->find(id, owner);
  if (!found) {
    return false;
  }
  Statement drop(table_->db, "DELETE FROM responses WHERE id = ?");
  if (const auto done = drop.bind(id).run(); !done) {
    warn(done.error());
    return false;
  }
  const uint64_t size =
      dump_json(found->response).size() + dump_json(found->input).size();
  table_->bytes -= std::min(table_->bytes, size);
  return true;
}

Result<std::vector<StoredResponse>> ResponseStore::conversation(
    const std::string& id, const std::string& owner) {
  std::vector<StoredResponse> turns;
  std::set<std::string> seen;
  table_->writes.wait();
  std::lock_guard lock(mutex_);
  for (std::string next = id; !next.empty() && seen.insert(next).second;) {
    auto found = table_->find(next, owner);
    if (!found) {
      return Error{
          ErrorCode::not_found,
          turns.empty()
              ? fmt::format("no response {} is stored here", next)
              : fmt::format(
                    "the conversation of {} began with {}, which is not stored "
                    "any more",
                    id,
                    next),
          "send the whole conversation as input",
          "previous_response_id"};
    }
    next = found->previous;
    turns.push_back(*std::move(found));
  }
  std::ranges::reverse(turns);
  for (const StoredResponse& turn : turns) {
    table_->touch(turn.id);
  }
  return turns;
}

std::optional<Json> ResponseStore::item(
    const std::string& id, const std::string& owner) {
  const size_t mark = id.find('_') + 1;
  if (mark == 0 || id.size() < mark + kIdSize) {
    return std::nullopt;
  }
  const auto found = get("resp_" + id.substr(mark, kIdSize), owner);
  if (!found) {
    return std::nullopt;
  }
  for (const Json* list : {&found->input, &found->response.at("output")}) {
    for (const Json& item : *list) {
      if (item.value("id", Json()) == id) {
        return item;
      }
    }
  }
  return std::nullopt;
}

void ResponseStore::began(
    const std::string& id,
    const std::string& owner,
    const std::weak_ptr<RunningResponse>& response) {
  std::lock_guard lock(mutex_);
  std::erase_if(
      running_, [](const auto& one) { return one.second.response.expired(); });
  running_[id] = {owner, response};
}

std::shared_ptr<RunningResponse> ResponseStore::running(
    const std::string& id, const std::string& owner) {
  std::lock_guard lock(mutex_);
  const auto found = running_.find(id);
  if (found == running_.end() || found->second.owner != owner) {
    return nullptr;
  }
  return found->second.response.lock();
}

Json response_shape() {
  return json_shape(
      R"({"id": "string", "object": "=response", "created_at": "integer",
        "status": "string", "model": "string", "output": [{"id": "string",
        "type": "string", "status": "string"}], "error": "object|null",
        "incomplete_details": "object|null", "usage": "object|null",
        "instructions": "any", "metadata": "object", "tools": ["object"],
        "tool_choice": "any", "text": "object",
        "previous_response_id": "string|null",
        "parallel_tool_calls": "boolean", "store": "boolean"})");
}

}  // namespace rapid
