"""What counts as a key or a token: by the name of its field, or by its form. Prompts stay."""

from __future__ import annotations

import pytest

from comfy.importing.secrets import is_key, keys_of, without_keys, without_values

TAIL = "aB3dE6gH9jK2mN5pQ8sT1vW4"
KEYS = (
    f"sk-{TAIL}",
    f"sk-proj-{TAIL}-{TAIL}_x",
    f"sk-ant-api03-{TAIL}",
    f"hf_{TAIL}",
    f"ghp_{TAIL}",
    f"github_pat_{TAIL}",
    f"AIza{TAIL}0123456789",
    f"comfyui-{'0123456789abcdef' * 4}",
    f"xai-{TAIL}",
    f"gsk_{TAIL}",
    f"r8_{TAIL}",
    f"key-{TAIL}",
    f"Bearer {TAIL}",
    f"eyJ{TAIL}.eyJ{TAIL}.{TAIL}",
)


def is_secret(name: str, value: str) -> bool:
    return bool(without_values({name: value}, ()) != {name: value})


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_known_by_its_form_in_any_field(key: str) -> None:
    assert is_secret("text", key)
    assert without_keys(key) == ""


@pytest.mark.parametrize("key", KEYS)
def test_of_a_prompt_only_the_key_is_left_out(key: str) -> None:
    prompt = f"a red fox, {key}, in the snow"

    assert without_keys(prompt) == "a red fox, , in the snow"
    assert without_keys(f"{'a fox ' * 2000}{key}") == "a fox " * 2000


@pytest.mark.parametrize(
    "prompt",
    [
        "a fox wearing a mask-abcdefghijklmnopqrstuvwxyz, password on a note, token of love",
        "sk-learn-based-visualization-of-internationalization, sk-8 skates",
        "Bearer of_the_extraordinary_light, bearer Counterrevolutionaries",
        "key-lightincinematographicstudios, (low-key-lighting:1.2), key-frames",
        "api_key: none; secret garden; hf_ short; AIza; ghp_fox; comfyui-manager",
        "masterpiece, best quality, <lora:add_detail:0.8>, embedding:EasyNegative, 8k, 1girl",
        "https://example.org/fox?size=1024&keyword=aBcDeF123",
        "\U0001f98a 狐狸 in the style of Jo\u0308rg, ratio 16:9, time 12:30:00",
    ],
)
def test_prompts_are_not_touched(prompt: str) -> None:
    assert without_keys(prompt) == prompt
    for name in ("text", "prompt", "negative_prompt", "value", "system_prompt", "string"):
        assert not is_secret(name, prompt)


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "API key", "openai_api_key", "x-api-key", "token", "hf_token"),
        *("accessToken", "civitai_token", "password", "passphrase", "authorization", "bearer"),
        *("secret", "client_secret", "secret_key", "credentials", "openai_key", "geminiKey"),
        *("access_token_value", "apiKeyString", "service_key"),
    ],
)
def test_a_key_is_known_by_the_name_of_its_field(name: str) -> None:
    assert is_key(name, "0123456789")
    assert not is_key(name, "")
    assert not is_key(name, ["12", 0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trigger_token", "ohwx_man"),
        ("eos_token", "<|endoftext|>"),
        ("max_tokens", "4096000"),
        ("tokenizer", "t5xxl_fp16"),
        ("token", "a fox in the snow"),
        ("keyframe", "0123456789"),
        ("key", "0123456789"),
        ("key", "sampler_of_the_first_pass"),
        ("key", "internationalizations"),
        ("hot_key", "ctrl+shift+enter"),
        ("text_key", "a fox in the snow"),
        ("trigger_token_value", "ohwx_man"),
        ("secretary", "0123456789"),
    ],
)
def test_other_fields_keep_their_values(name: str, value: str) -> None:
    assert not is_secret(name, value)


def test_passwords_may_have_blanks() -> None:
    assert is_key("password", "correct horse battery staple")
    assert is_key("Authorization", "Basic Zm94OmZveA==")


def test_addresses_lose_their_keys_only() -> None:
    url = "https://me:canary@example.org/api/download/1?type=Model&token=0123456789abcdef&x=1"

    assert without_keys(url) == "https://example.org/api/download/1?type=Model&token=&x=1"


def test_a_document_is_cleaned_at_any_depth() -> None:
    document = {"a": [{"api_key": "0123456789"}, f"see sk-{TAIL}"], "b": "zx81canary", "c": 1}

    cleaned = without_values(document, ["zx81canary"])

    assert cleaned == {"a": [{"api_key": ""}, "see "], "b": "", "c": 1}


@pytest.mark.parametrize("part", ["-eyJaaaaaaaa", "_eyJaaaaaaaa", "://a:"])
def test_a_long_text_is_gone_through_once(part: str) -> None:
    # By the square of its length it would take hours, and no other thread could run meanwhile.
    text = part * (2_000_000 // len(part))

    assert without_keys(text) == text


def test_a_token_that_is_glued_to_a_word_keeps_its_header_only() -> None:
    assert without_keys(f"key_eyJ{TAIL}.eyJ{TAIL}.{TAIL}") == f"key_eyJ{TAIL}."


@pytest.mark.parametrize("value", [f"x{TAIL}", "3f2b8c1a-0d4e-4f6a-9b7c-5e8d1a2c3b4f", "0" * 32])
def test_a_bare_key_is_one_if_it_looks_like_chance(value: str) -> None:
    assert is_key("key", value)
    assert not is_key("text", value)


def test_keys_in_lists_are_left_out_and_links_stay() -> None:
    document = {
        "api_key": {"__value__": ["0123456789", ["abcdef0123"]]},
        "token": ["12:345678", 0],
        "password": ["zx81canary", "zx81canary"],
    }

    assert list(keys_of("api_key", document["api_key"])) == ["0123456789", "abcdef0123"]
    assert list(keys_of("token", document["token"])) == []
    assert without_values(document, ()) == {
        "api_key": {"__value__": ["", [""]]},
        "token": ["12:345678", 0],
        "password": ["", ""],
    }


@pytest.mark.parametrize("word", ["default", "None_set", "YOUR-API-KEY"])
def test_a_word_in_the_field_of_a_key_is_left_out_there_only(word: str) -> None:
    document = {"api_key": word, "mode": word, "values": [word, "zx81canary"]}

    cleaned = without_values(document, [word, "zx81canary"])

    assert cleaned == {"api_key": "", "mode": word, "values": [word, ""]}
