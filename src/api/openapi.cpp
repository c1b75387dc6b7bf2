// GET /openapi.json: the route table as an OpenAPI document.
#include "api/openapi.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <string>
#include <string_view>

#include "api/route.h"

namespace rapid {

namespace {

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return text;
}

// The one open part of a path, without braces; "" = none.
std::string open_part(const std::string& path) {
  const size_t begin = path.find('{');
  return begin == std::string::npos
             ? ""
             : path.substr(begin + 1, path.find('}') - begin - 1);
}

std::string operation_id(const std::string& method, const std::string& path) {
  std::string id = lower(method);
  for (const char c : path) {
    const bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (letter) {
      id += c;
    } else if (id.back() != '_') {
      id += '_';
    }
  }
  while (id.ends_with('_')) {
    id.pop_back();
  }
  return id;
}

// "string|null" as JSON Schema has it.
Json type_list(std::string_view names) {
  Json types = Json::array();
  while (!names.empty()) {
    const auto one = names.substr(0, names.find('|'));
    types.push_back(one);
    names.remove_prefix(std::min(one.size() + 1, names.size()));
  }
  return types.size() == 1 ? types[0] : types;
}

Json shape_of(const Json& pattern) {
  if (pattern.is_array()) {
    return {{"type", "array"}, {"items", shape_of(pattern.at(0))}};
  }
  if (pattern.is_string()) {
    const auto text = pattern.get<std::string>();
    return text == "any"           ? Json::object()
           : text.starts_with('=') ? Json{{"const", text.substr(1)}}
                                   : Json{{"type", type_list(text)}};
  }
  Json out = {{"type", "object"}};
  Json required = Json::array();
  for (const auto& [key, value] : pattern.items()) {
    if (key == "*") {
      out["additionalProperties"] = shape_of(value);
      continue;
    }
    const bool optional = key.ends_with('?');
    const std::string name = key.substr(0, key.size() - (optional ? 1 : 0));
    out["properties"][name] = shape_of(value);
    if (!optional) {
      required.push_back(name);
    }
  }
  out["required"] = std::move(required);
  return out;
}

// As the dialect's own function writes one.
Json error_shape(const Route& route) {
  const auto error_body =
      route.error_body != nullptr ? route.error_body : standard_error_body;
  const auto example =
      parse_json(error_body(400, {ErrorCode::invalid_argument, "x"}));
  const std::function<Json(const Json&)> pattern = [&](const Json& value) {
    if (!value.is_object()) {
      return Json(value.is_string() ? "string" : "any");
    }
    Json out = Json::object();
    for (const auto& [key, inner] : value.items()) {
      out[key] = pattern(inner);
    }
    return out;
  };
  return shape_of(pattern(*example));
}

Json content(const char* type, Json schema) {
  return {{type, {{"schema", std::move(schema)}}}};
}

Json responses(const Route& route) {
  Json done = {{"description", "done"}};
  if (route.reply != nullptr) {
    done["content"] = content("application/json", route.reply());
  }
  if (route.stream != nullptr) {
    done["content"].update(content(route.stream, {{"type", "string"}}));
  }
  return {
      {"200", std::move(done)},
      {"default",
       {{"description", "an error, in the dialect's form"},
        {"content", content("application/json", error_shape(route))}}}};
}

Json operation(const Route& route, const std::string& path) {
  Json out = {
      {"operationId", operation_id(route.method, path)},
      {"summary", route.summary}};
  const auto parameter = [&](std::string_view name, const char* place) {
    out["parameters"].push_back(
        {{"name", name},
         {"in", place},
         {"required", std::string_view(place) == "path"},
         {"schema", {{"type", "string"}}}});
  };
  if (const std::string name = open_part(path); !name.empty()) {
    parameter(name, "path");
  }
  for (const char* name : route.query) {
    parameter(name, "query");
  }
  if (route.body != nullptr) {
    out["requestBody"] = {
        {"required", true},
        {"content", {{"application/json", {{"schema", route.body()}}}}}};
  }
  out["responses"] = responses(route);
  out["security"] =
      route.auth == Auth::open
          ? Json::array()
          : Json::array(
                {{{"bearer", Json::array()}}, {{"key", Json::array()}}});
  return out;
}

Json document(const std::string& version) {
  RouteTable all;
  register_all_routes(all);
  Json paths = Json::object();
  for (const Route& route : all.routes()) {
    std::string path = route.path;
    if (path.ends_with("/*")) {
      path.replace(path.size() - 1, 1, "{name}");
    }
    paths[path][lower(route.method)] = operation(route, path);
  }
  return {
      {"openapi", "3.1.0"},
      {"info", {{"title", "rapid-mlx"}, {"version", version}}},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes",
         {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
          {"key",
           {{"type", "apiKey"}, {"in", "header"}, {"name", "x-api-key"}}}}}}}};
}

}  // namespace

Json json_shape(std::string_view pattern) {
  return shape_of(*parse_json(pattern));
}

Json body_schema(std::initializer_list<BodyField> fields) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const BodyField& field : fields) {
    std::string types = field.type;
    if (field.required) {
      required.push_back(field.name);
    } else {
      types += "|null";
    }
    Json& property = properties[field.name];
    property["type"] = type_list(types);
    property["description"] = field.about;
  }
  return {
      {"type", "object"},
      {"required", std::move(required)},
      {"properties", std::move(properties)},
      {"additionalProperties", true}};
}

void register_route_openapi(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/openapi.json",
       .auth = Auth::open,
       .handler =
           [](const HttpRequest&,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             stream->reply(
                 200, dump_json(document(context.version)), "application/json");
           },
       .reply =
           [] {
             return json_shape(
                 R"({"openapi": "string", "info": {"title": "string",
           "version": "string"}, "paths": {"*": {"*": "object"}}})");
           },
       .summary = "these routes, for programs"});
}

}  // namespace rapid
