document.getElementById("pay").submit();
