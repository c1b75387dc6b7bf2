// `bench` over HTTP: a server of our own is started for it, others are named.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

struct ServedBenchRequest {
  std::string model;  // a path or name that `serve` takes
  std::vector<std::string> serve_flags;
  std::vector<std::string> others;  // URLs
  std::string other_key;
  std::vector<int> prompts;
  int generate = 64;
  int runs = 3;
  bool speed = false;
  bool tools = false;
  std::string agent;  // "" = no talk
  int agent_turns = 20;
  int agent_tokens = 13000;
  std::function<bool()> keep_going;
};

// unsupported, for an agent whose talk is not known; "" is fine.
Status check_agent(const std::string& name);

// [{"name", "url", "speed", "tools", "agent"}], ours first.
Result<Json> run_served_bench(const ServedBenchRequest& request);

void print_servers(const Json& servers);

}  // namespace rapid
