from __future__ import annotations

from ziggurat.node.config.option import Option


def test_a_name_gives_the_flag_the_variable_and_the_field() -> None:
    option = Option("proxy-net", "help")

    assert (option.variable, option.field) == ("ZIGGURAT_PROXY_NET", "proxy_net")
