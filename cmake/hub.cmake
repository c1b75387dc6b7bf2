# What src/hub needs beyond its sources: the catalogue compiled in, a zip
# reader for wheels, and no fused multiply-add where bits are promised.
include(embed)
# Headers only: curl_library.cpp loads the library when it is needed.
target_include_directories(hub PRIVATE ${CURL_INCLUDE_DIRS})
target_link_libraries(hub PRIVATE external_minizip)
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/hub/dequantise.cpp
  TARGET_DIRECTORY hub PROPERTIES COMPILE_OPTIONS -ffp-contract=off)
rapid_embed(hub catalogue_json ${CMAKE_SOURCE_DIR}/data/catalogue.json)
rapid_embed(hub model_configs_json ${CMAKE_SOURCE_DIR}/data/model_configs.json)
