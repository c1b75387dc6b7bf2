// Attention: queries meet a tile of keys and values, and what was seen before.
// Query by query the same steps in the same order, whoever is beside it.

constexpr int kMixRows = 2 * kTileRows;
constexpr int kScoreStride = kTileKeys + kLanes;
constexpr float kNothing = -__builtin_inff();

// mix_rows for so many rows.
template <int R, bool More, typename T, typename... Rest>
inline void mix(int rows, Rest... rest) {
  if constexpr (R > 0) {
    if (rows == R) {
      mix_rows<R, More, T>(rest...);
    } else {
      mix<R - 1, More, T>(rows, rest...);
    }
  }
}

inline float capped(float s, float softcap) {
  return softcap > 0 ? tanhf(s / softcap) * softcap : s;
}

inline IntVec lane_numbers() {
  IntVec out;
  for (int lane = 0; lane < kLanes; ++lane) {
    out[lane] = lane;
  }
  return out;
}

// Scaled scores, kNothing where the query sees no key; the largest.
inline float scale_scores(
    float* scores,
    const KeyRange& seen,
    int begin,
    int end,
    const TileQuery& q) {
  const IntVec lanes = lane_numbers();
  const Vec none = splat(kNothing);
  Vec tops = none;
  for (int j = begin; j < end; j += kLanes) {
    Vec s = load(scores + j) * splat(q.scale);
    if (q.softcap > 0) {
      for (int lane = 0; lane < kLanes; ++lane) {
        s[lane] = capped(s[lane], q.softcap);
      }
    }
    if (j < seen.first || j + kLanes > seen.last) {
      const IntVec at = lanes + j;
      s = at >= seen.first && at < seen.last ? s : none;
    }
    store(scores + j, s);
    tops = s > tops ? s : tops;
  }
  float top = tops[0];
  for (int lane = 1; lane < kLanes; ++lane) {
    top = tops[lane] > top ? tops[lane] : top;
  }
  return top;
}

// scores -> weights exp(score - maximum), 0 where nothing is seen.
inline void soften(
    float* scores,
    const KeyRange& seen,
    int begin,
    int end,
    const TileQuery& q,
    float* head) {
  const float top = scale_scores(scores, seen, begin, end, q);
  Vec total = {};
  for (int j = begin; j < end; j += kLanes) {
    const Vec p = vexp(load(scores + j) - top);
    store(scores + j, p);
    total += p;
  }
  head[0] = top;
  head[1] = sum(total);
}

// Smallest range that holds those of some rows; empty ones aside.
inline KeyRange all_seen(const KeyRange* ranges, int rows) {
  KeyRange all = {kTileKeys, 0};
  for (int r = 0; r < rows; ++r) {
    if (ranges[r].first < ranges[r].last) {
      all.first = ranges[r].first < all.first ? ranges[r].first : all.first;
      all.last = ranges[r].last > all.last ? ranges[r].last : all.last;
    }
  }
  return all.first < all.last ? all : KeyRange{0, 0};
}

// The part of a page within a range of its tile's keys.
inline KeyRange part_of(const KeyRange& all, int page) {
  const int base = page * kPageKeys;
  const int first = all.first - base;
  const int last = all.last - base;
  return {first > 0 ? first : 0, last < kPageKeys ? last : kPageKeys};
}

void merge(
    float* states, const float* partials, int64_t stride, int rows, int dim) {
  for (int at = 0; at < rows; at += kLanes) {
    const int count = rows - at < kLanes ? rows - at : kLanes;
    float old[kLanes] = {};
    float fresh[kLanes] = {};
    for (int r = 0; r < count; ++r) {
      old[r] = states[static_cast<int64_t>(at + r) * (dim + 2)];
      fresh[r] = partials[(at + r) * stride];
    }
    const Vec a = load(old);
    const Vec b = load(fresh);
    const Vec top = a > b ? a : b;
    store(old, vexp(a - top));
    store(fresh, vexp(b - top));
    for (int r = 0; r < count; ++r) {
      float* state = states + static_cast<int64_t>(at + r) * (dim + 2);
      const float* partial = partials + (at + r) * stride;
      if (partial[0] == kNothing) {
        continue;
      }
      if (state[0] == kNothing) {
        memcpy(state, partial, static_cast<size_t>(dim + 2) * sizeof(float));
        continue;
      }
      const Vec keep = splat(old[r]);
      const Vec take = splat(fresh[r]);
      state[0] = top[r];
      state[1] = state[1] * old[r] + partial[1] * fresh[r];
      int i = 2;
      for (; i + kLanes <= dim + 2; i += kLanes) {
        store(state + i, load(state + i) * keep + load(partial + i) * take);
      }
      for (; i < dim + 2; ++i) {
        state[i] = state[i] * old[r] + partial[i] * fresh[r];
      }
    }
  }
}

// Asks for what is read next, while others are worked on: weights have thrown
// all keys and values out of the caches. Many rows need no such thing.
template <typename T>
inline void ask_for(const TileQuery& query, const T* from) {
  if (!from || query.rows > kMixRows) {
    return;
  }
  const int64_t bytes = int64_t{kPageKeys} * query.dim * sizeof(T);
  const char* p = (const char*)from;
  for (int64_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(p + at);
  }
}

// scores[r][key] of the keys of `all` and those up to whole vectors.
template <typename T>
inline void score_pages(
    const TileQuery& query,
    int at,
    int rows,
    const TilePages<T>& pages,
    const KeyRange& all,
    float* scores) {
  const float* q = query.q + static_cast<int64_t>(at) * query.dim;
  for (int page = all.first / kPageKeys; page * kPageKeys < all.last; ++page) {
    const KeyRange part = part_of(all, page);
    const int begin = part.first / kLanes * kLanes;
    const int end = (part.last + kLanes - 1) / kLanes * kLanes;
    const bool last = (page + 1) * kPageKeys >= all.last;
    ask_for(
        query,
        last ? pages.values[all.first / kPageKeys] : pages.keys[page + 1]);
    mix<kMixRows, false, T>(
        rows,
        q,
        static_cast<int64_t>(query.dim),
        pages.keys[page] + begin,
        static_cast<int64_t>(kPageKeys),
        query.dim,
        end - begin,
        scores + page * kPageKeys + begin,
        static_cast<int64_t>(kScoreStride));
  }
}

// partials[r] + 2 = the values of `all`, weighted.
template <typename T>
inline void weigh_pages(
    const TileQuery& query,
    int rows,
    const float* weights,
    const TilePages<T>& pages,
    const KeyRange& all,
    float* partials) {
  const int dim = query.dim;
  bool more = false;
  for (int page = all.first / kPageKeys; page * kPageKeys < all.last; ++page) {
    const KeyRange part = part_of(all, page);
    const bool last = (page + 1) * kPageKeys >= all.last;
    ask_for(query, last ? pages.next : pages.values[page + 1]);
    const auto sum_up = [&](auto function) {
      function(
          rows,
          weights + page * kPageKeys + part.first,
          static_cast<int64_t>(kScoreStride),
          pages.values[page] + static_cast<int64_t>(part.first) * dim,
          static_cast<int64_t>(dim),
          part.last - part.first,
          dim,
          partials + 2,
          static_cast<int64_t>(dim + 2));
    };
    if (more) {
      sum_up([](auto... a) { mix<kMixRows, true, T>(a...); });
    } else {
      sum_up([](auto... a) { mix<kMixRows, false, T>(a...); });
    }
    more = true;
  }
}

template <typename T>
inline void attend_tile(
    const TileQuery& query,
    const TilePages<T>& pages,
    float* memory,
    float* states) {
  float* scores = memory;
  float* partials = scores + kMixRows * kScoreStride;
  const int width = query.dim + 2;
  for (int at = 0; at < query.rows; at += kMixRows) {
    const int rows = query.rows - at < kMixRows ? query.rows - at : kMixRows;
    const KeyRange all = all_seen(query.ranges + at, rows);
    if (all.last == 0) {
      continue;
    }
    score_pages(query, at, rows, pages, all, scores);
    const int begin = all.first / kLanes * kLanes;
    const int end = (all.last + kLanes - 1) / kLanes * kLanes;
    for (int r = 0; r < rows; ++r) {
      soften(
          scores + r * kScoreStride,
          query.ranges[at + r],
          begin,
          end,
          query,
          partials + r * width);
    }
    weigh_pages(query, rows, scores, pages, all, partials);
    merge(states + at * width, partials, width, rows, query.dim);
  }
}

void attend(
    const TileQuery& query,
    const TilePages<float>& pages,
    float* memory,
    float* states) {
  attend_tile(query, pages, memory, states);
}

inline void widen_all(const uint16_t* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(to + i, half_lanes((const uint8_t*)(from + i)));
  }
  for (; i < n; ++i) {
    to[i] = element_of(from[i]);
  }
}

// Many rows read expanded pages.
void attend_halves(
    const TileQuery& query,
    const TilePages<uint16_t>& pages,
    float* memory,
    float* states) {
  if (query.rows <= kMixRows) {
    attend_tile(query, pages, memory, states);
    return;
  }
  const int64_t page = static_cast<int64_t>(kPageKeys) * query.dim;
  const KeyRange all = all_seen(query.ranges, query.rows);
  float* expanded = memory + kMixRows * (kScoreStride + query.dim + 2);
  TilePages<float> wide;
  for (int i = all.first / kPageKeys; i * kPageKeys < all.last; ++i) {
    wide.keys[i] = expanded;
    widen_all(pages.keys[i], page, expanded);
    expanded += page;
    wide.values[i] = expanded;
    widen_all(pages.values[i], page, expanded);
    expanded += page;
  }
  attend_tile(query, wide, memory, states);
}
